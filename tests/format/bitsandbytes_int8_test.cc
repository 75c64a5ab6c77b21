// The 8-bit layout of bitsandbytes: its own numbers, its threshold, and files that lie.
#include <gtest/gtest.h>

#include <limits>

#include "tests/format/layout_goldens.h"
#include "tests/support/expect_error.h"

namespace nibble {
namespace {

using nlohmann::json;
using test::expect_error;
using test::fields_of;
using test::read_layout;

// bitsandbytes multiplies by SCB and by 1 / 127, one after the other.
TEST(BitsandbytesInt8, HasItsOwnNumbers) {
  const json goldens = test::layout_goldens("bitsandbytes_int8.json");
  ASSERT_EQ(goldens.size(), 12u);
  for (const json& g : goldens) {
    SCOPED_TRACE(g.at("shape").dump());
    const QuantizedTensor q = read_layout(fields_of(g.at("config")), test::tensors_in(g));
    test::expect_golden_values(q, g, 3e-7f);
    const float threshold = g.at("config").at("llm_int8_threshold");
    EXPECT_EQ(to_string(q.scheme), threshold == 0 ? "int8:a8" : "int8:a8outlier");
    if (threshold > 0) {
      EXPECT_EQ(q.activation->data<float>()[0], threshold);
    }
  }
}

json int8_config() {
  return {{"quant_method", "bitsandbytes"},
          {"load_in_8bit", true},
          {"llm_int8_threshold", 6.0},
          {"llm_int8_skip_modules", {"lm_head"}}};
}

TensorMap int8_weight() {
  const std::vector<int8_t> codes{-128, -127, -1, 0, 1, 2, 3, 4, 5, 127};
  const std::vector<float> largest{127, 254};
  return {{"x.weight", Tensor::from<int8_t>(Shape{2, 5}, codes)},
          {"x.SCB", Tensor::from<float>(Shape{2}, largest)},
          {"x.weight_format", Tensor(DType::u8, Shape{})}};
}

TEST(BitsandbytesInt8, EveryCodeIsTimesItsRowsLargestOver127) {
  const Tensor w = dequantize(read_layout(fields_of(int8_config()), int8_weight()));
  const auto v = w.data<float>();
  EXPECT_EQ(std::vector<float>(v.begin(), v.end()),
            (std::vector<float>{-128, -127, -1, 0, 1, 4, 6, 8, 10, 254}));
}

// Neither the format of the rows nor the threshold need be said; the flag has had two names.
TEST(BitsandbytesInt8, WhatIsNotSaidIsAsUsual) {
  json config = int8_config();
  config.erase("llm_int8_threshold");
  config.erase("load_in_8bit");
  config["_load_in_8bit"] = true;
  TensorMap tensors = int8_weight();
  tensors.erase("x.weight_format");
  const QuantizedTensor q = read_layout(fields_of(config), tensors);
  EXPECT_EQ(to_string(q.scheme), "int8:a8outlier");
  EXPECT_EQ(q.activation->data<float>()[0], 6);
}

TEST(BitsandbytesInt8, RefusesKeysByName) {
  const auto refused = [&](const std::string& key, const json& value, ErrorKind kind) {
    json config = int8_config();
    config[key] = value;
    expect_error(kind, "key \"quantization_config." + key,
                 [&] { (void)read_layout(fields_of(config), int8_weight()); });
  };
  refused("llm_int8_has_fp16_weight", true, ErrorKind::unsupported);
  refused("llm_int8_threshold", -1, ErrorKind::corrupt);
  refused("llm_int8_threshold", 1e300, ErrorKind::corrupt);
  refused("llm_int8_threshold", "six", ErrorKind::corrupt);
  refused("llm_int9_threshold", 6, ErrorKind::unsupported);
  json both = int8_config();
  both["load_in_4bit"] = true;
  expect_error(ErrorKind::corrupt, "load_in_8bit\": contradicts load_in_4bit",
               [&] { (void)read_layout(fields_of(both), int8_weight()); });
}

TEST(BitsandbytesInt8, RefusesTensorsByName) {
  const auto refused = [&](const std::string& name, const Tensor* tensor, std::string_view words,
                           ErrorKind kind = ErrorKind::corrupt) {
    TensorMap tensors = int8_weight();
    if (tensor != nullptr) tensors[name] = *tensor;
    if (tensor == nullptr) tensors.erase(name);
    expect_error(kind, words, [&] { (void)read_layout(fields_of(int8_config()), tensors); });
  };
  refused("x.SCB", nullptr, "tensor \"x.SCB\": quantization_config has \"x\" stored as int8:a8");
  refused("x.weight", nullptr, "tensor \"x.weight\": quantization_config has");
  const Tensor halves(DType::f16, Shape{2, 5}), flat(DType::i8, Shape{10}),
      more(DType::f32, Shape{3}), column(DType::f32, Shape{2, 1}), narrow(DType::f16, Shape{2});
  refused("x.weight", &halves, "tensor \"x.weight\": expected i8 [n, k], found f16 [2, 5]");
  refused("x.weight", &flat, "tensor \"x.weight\": expected i8 [n, k]");
  for (const Tensor& t : {more, column, narrow})
    refused("x.SCB", &t, "tensor \"x.SCB\": expected f32 [2], found");
  Tensor format = Tensor::from<uint8_t>(Shape{}, std::vector<uint8_t>{2});
  refused("x.weight_format", &format, "tensor \"x.weight_format\": is 2", ErrorKind::unsupported);
  format = Tensor(DType::u8, Shape{3});
  refused("x.weight_format", &format, "tensor \"x.weight_format\": expected one u8");
  Tensor infinite = int8_weight().at("x.SCB").clone();
  infinite.mutable_data<float>()[1] = std::numeric_limits<float>::infinity();
  refused("x.SCB", &infinite, "tensor \"x.weight\": scale of row 1 group 0 is not finite");
}

}  // namespace
}  // namespace nibble
