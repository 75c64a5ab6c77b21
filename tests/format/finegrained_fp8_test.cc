// The fp8 layout: the numbers are transformers', blocks end where the weight does, and what does
// not fit is refused by name.
#include <gtest/gtest.h>

#include <limits>

#include "nibble/core/float_formats.h"
#include "tests/format/layout_goldens.h"
#include "tests/support/expect_error.h"

namespace nibble {
namespace {

using nlohmann::json;
using test::expect_error;
using test::fields_of;
using test::read_layout;

TEST(FinegrainedFp8, HasTheNumbersOfTransformers) {
  const json goldens = test::layout_goldens("fp8.json");
  ASSERT_EQ(goldens.size(), 6u);
  for (const json& g : goldens) {
    SCOPED_TRACE(g.at("config").dump());
    const QuantizedTensor q = read_layout(fields_of(g.at("config")), test::tensors_in(g));
    test::expect_golden_values(q, g);
    const json& block = g.at("config").at("weight_block_size");
    EXPECT_EQ(to_string(q.scheme), block.is_null()
                                       ? "fp8_e4m3:tensor"
                                       : "fp8_e4m3:g" + std::to_string(block[1].get<int>()));
  }
}

constexpr int64_t kFp8N = 6, kFp8K = 20;

TensorMap fp8_weight() {
  Tensor w(DType::f8_e4m3, Shape{kFp8N, kFp8K}), scales(DType::f32, Shape{2, 3});
  for (int64_t i = 0; i < kFp8N * kFp8K; ++i) w.mutable_raw()[i] = static_cast<std::byte>(i % 127);
  for (int64_t i = 0; i < 6; ++i)
    scales.mutable_data<float>()[static_cast<size_t>(i)] = 0.5f + static_cast<float>(i);
  return {{"x.weight", w}, {"x.weight_scale_inv", scales}};
}

json fp8_config() {
  return {{"quant_method", "fp8"},
          {"fmt", "e4m3"},
          {"activation_scheme", "dynamic"},
          {"weight_block_size", {4, 8}},
          {"modules_to_not_convert", {"lm_head"}}};
}

// Block (r / 4, i / 8), the last of each shorter.
TEST(FinegrainedFp8, EveryBlockHasItsScale) {
  const Tensor w = dequantize(read_layout(fields_of(fp8_config()), fp8_weight()));
  for (int64_t r = 0; r < kFp8N; ++r) {
    for (int64_t i = 0; i < kFp8K; ++i) {
      const float scale = 0.5f + static_cast<float>(r / 4 * 3 + i / 8);
      EXPECT_EQ(w.data<float>()[static_cast<size_t>(r * kFp8K + i)],
                e4m3_to_f32(static_cast<uint8_t>((r * kFp8K + i) % 127)) * scale)
          << r << " " << i;
    }
  }
}

TEST(FinegrainedFp8, SaysThatInputsStayAsTheyAre) {
  for (const char* scheme : {"dynamic", "static"}) {
    json config = fp8_config();
    config["activation_scheme"] = scheme;
    TensorMap tensors = fp8_weight();
    tensors.emplace("x.activation_scale", Tensor(DType::f32, Shape{}));
    std::vector<std::string> warnings;
    (void)read_layout(fields_of(config), tensors, &warnings);
    ASSERT_EQ(warnings.size(), 1u);
    EXPECT_NE(warnings[0].find("activation_scheme is " + std::string(scheme)), std::string::npos);
  }
}

// Without a word blocks are 128 by 128, as transformers has it; null is one scale for all.
TEST(FinegrainedFp8, BlocksThatAreNotNamedAre128By128) {
  json config = fp8_config();
  config.erase("weight_block_size");
  TensorMap tensors = fp8_weight();
  for (const Shape& one : {Shape{1, 1}, Shape{1}, Shape{}}) {
    tensors["x.weight_scale_inv"] = Tensor(DType::bf16, one);
    EXPECT_EQ(to_string(read_layout(fields_of(config), tensors).scheme), "fp8_e4m3:g128");
  }
  config["weight_block_size"] = nullptr;
  EXPECT_EQ(to_string(read_layout(fields_of(config), tensors).scheme), "fp8_e4m3:tensor");
}

// Plain ones stay plain, whatever modules_to_not_convert says.
TEST(FinegrainedFp8, TheTensorsTellWhichModulesAreFp8) {
  const std::vector<MatrixModule> modules = {{"x", "Linear"}, {"lm_head", "Linear"}};
  TensorMap tensors = fp8_weight();
  tensors.emplace("lm_head.weight", Tensor(DType::bf16, Shape{2, kFp8K}));
  const StoredModules read =
      read_quantization_config(fields_of(fp8_config()), modules, MemorySource(tensors));
  EXPECT_EQ(read.schemes.size(), 1u);
  EXPECT_TRUE(read.schemes.contains("x"));
}

TEST(FinegrainedFp8, RefusesKeysByName) {
  const auto refused = [&](const std::string& key, const json& value, ErrorKind kind) {
    json config = fp8_config();
    config[key] = value;
    expect_error(kind, "key \"quantization_config." + key,
                 [&] { (void)read_layout(fields_of(config), fp8_weight()); });
  };
  refused("fmt", "e5m2", ErrorKind::unsupported);
  refused("activation_scheme", "block", ErrorKind::unsupported);
  refused("scale_fmt", "e5m3", ErrorKind::unsupported);
  refused("expert_dtype", "fp4", ErrorKind::unsupported);
  refused("modules_to_convert", {"embed"}, ErrorKind::unsupported);
  refused("kv_cache_scheme", "static", ErrorKind::unsupported);
  refused("weight_block_size", {128}, ErrorKind::corrupt);
  refused("weight_block_size", {0, 8}, ErrorKind::corrupt);
  refused("weight_block_size", {4, -8}, ErrorKind::corrupt);
  refused("weight_block_size", {4, int64_t{1} << 40}, ErrorKind::corrupt);
  refused("weight_block_size", "128", ErrorKind::corrupt);
}

TEST(FinegrainedFp8, RefusesTensorsByName) {
  const auto refused = [&](const std::string& name, const Tensor* tensor, std::string_view words) {
    TensorMap tensors = fp8_weight();
    if (tensor != nullptr) tensors[name] = *tensor;
    if (tensor == nullptr) tensors.erase(name);
    expect_error(ErrorKind::corrupt, words,
                 [&] { (void)read_layout(fields_of(fp8_config()), tensors); });
  };
  const std::string scale = "x.weight_scale_inv";
  refused(scale, nullptr, "tensor \"x.weight_scale_inv\": quantization_config has \"x\" stored as");
  refused("x.weight", nullptr, "tensor \"x.weight\"");
  const Tensor turned(DType::f32, Shape{3, 2}), flat(DType::f32, Shape{6}),
      whole(DType::i32, Shape{2, 3}), other(DType::f8_e5m2, Shape{kFp8N, kFp8K}),
      cube(DType::f8_e4m3, Shape{1, kFp8N, kFp8K});
  for (const Tensor& t : {turned, flat, whole})
    refused(scale, &t, "tensor \"x.weight_scale_inv\": expected float scales [2, 3]");
  refused("x.weight", &other,
          "tensor \"x.weight\": expected f8_e4m3 [n, k], found f8_e5m2 [6, 20]");
  refused("x.weight", &cube, "tensor \"x.weight\": expected f8_e4m3 [n, k]");
  Tensor infinite = fp8_weight().at(scale).clone(), nan = fp8_weight().at("x.weight").clone();
  infinite.mutable_data<float>()[4] = std::numeric_limits<float>::infinity();
  refused(scale, &infinite, "scale of row 4 group 1 is not finite");
  nan.mutable_raw()[kFp8K + 3] = std::byte{0x7F};
  refused("x.weight", &nan, "row 1 col 3 is not finite");
  const Tensor bytes = Tensor::from<uint8_t>(Shape{2, 3}, std::vector<uint8_t>{1, 2, 3, 4, 5, 255});
  refused(scale, &bytes, "scale of row 4 group 2 is not finite");
}

}  // namespace
}  // namespace nibble
