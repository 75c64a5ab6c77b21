// ONNX as one of the formats that a result is written in, and as what models are converted to and
// from.
#include <gtest/gtest.h>

#include <filesystem>

#include "nibble/compress/convert.h"
#include "nibble/compress/quantize.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_folder.h"
#include "tests/support/tiny_decoders.h"

namespace nibble {
namespace {

using test::expect_error;

class OnnxOutput : public testing::Test {
 protected:
  OnnxOutput() {
    std::filesystem::create_directories(in_);
    const CharTokenizer tokenizer = CharTokenizer::from_text(kTinyText, true);
    const ModelConfig config = blocky_decoder_config(2);
    write_model(in_, config, random_weights(config, 9), &tokenizer);
  }
  QuantizeResult quantized(const std::string& out, const std::string& scheme,
                           const std::vector<std::string>& formats) const {
    QuantizeOptions o;
    o.scheme = parse_scheme(scheme);
    for (const std::string& name : formats) o.formats.push_back(parse_output_format(name));
    return quantize_model(in_, folder_ / out, o, {});
  }
  ConvertResult converted(const std::string& in, const std::string& out,
                          const std::string& format) const {
    ConvertOptions o;
    o.format = parse_output_format(format);
    return convert_model(folder_ / in, folder_ / out, o, {});
  }
  void expect_same(const std::string& a, const std::string& b) const {
    const Model x = open_model(folder_ / a), y = open_model(folder_ / b);
    for (const ParamSpec& p : parameter_table(x.config))
      EXPECT_EQ(x.weights->get(p.name).values(), y.weights->get(p.name).values()) << b << p.name;
  }
  std::string stored_in(const std::string& path) const {
    return scheme_summary(open_model(folder_ / path));
  }
  const test::TempFolder folder_;
  const std::string in_ = folder_ / "in";
};

TEST_F(OnnxOutput, IsWrittenBesideOthersAndReadLikeThem) {
  const QuantizeResult r = quantized("m", "int4:g32:asym", {"gptq", "onnx"});
  EXPECT_EQ(r.written[1].path, folder_ / "m-onnx");
  EXPECT_EQ(r.written[1].file_bytes,
            static_cast<int64_t>(std::filesystem::file_size(folder_ / "m-onnx/model.onnx") +
                                 std::filesystem::file_size(folder_ / "m-onnx/model.onnx.data")));
  EXPECT_TRUE(std::filesystem::exists(folder_ / "m-onnx/nibble.json"));
  EXPECT_EQ(stored_in("m-onnx"), "int4:g32:asym");
  expect_same("m-gptq", "m-onnx");
  for (const auto& [from, to, format] :
       {std::array{"m-gptq", "there", "onnx"}, std::array{"there", "back", "gptq"},
        std::array{"in", "floats", "onnx"}}) {
    EXPECT_TRUE(converted(from, to, format).lossless) << to;
    expect_same(from, to);
  }
  EXPECT_EQ(stored_in("back"), "int4:g32:asym");
}

TEST_F(OnnxOutput, SaysNothingOfInputs) {
  quantized("a", "int8:a8", {"compressed-tensors"});
  EXPECT_FALSE(converted("a", "c", "onnx").lossless);
  EXPECT_EQ(stored_in("c"), "int8");
  expect_same("a", "c");
}

TEST_F(OnnxOutput, WhatItCannotHoldIsRefusedBeforeAnyWork) {
  expect_error(ErrorKind::unsupported, "inputs stay as they are",
               [&] { quantized("b", "int8:a8", {"onnx"}); });
  expect_error(ErrorKind::unsupported, "nf4:g64 in ONNX", [&] { quantized("b", "nf4", {"onnx"}); });
  EXPECT_EQ(folder_.size(), 1u);
}

}  // namespace
}  // namespace nibble
