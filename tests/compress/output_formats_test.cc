// What is written is chosen by name: one result in several formats, models between layouts, and
// what cannot be is refused before any work.
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

constexpr char kQuery[] = "model.layers.1.self_attn.q_proj.weight";

class OutputFormats : public testing::Test {
 protected:
  OutputFormats() { write_tiny_decoder(original_, folder_ / "in"); }
  QuantizeResult quantized(const std::string& out, const std::string& scheme,
                           const std::vector<std::string>& formats,
                           const std::string& method = "rtn") {
    QuantizeOptions o;
    o.scheme = parse_scheme(scheme);
    o.method = method;
    o.calibration.samples = 4;
    for (const std::string& name : formats) o.formats.push_back(parse_output_format(name));
    return quantize_model(folder_ / "in", folder_ / out, o, {});
  }
  ConvertResult convert(const std::string& in, const std::string& out, const std::string& format) {
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
    return open_model(folder_ / path).weights->get(kQuery).stored_as();
  }
  bool nothing_made() const {
    return std::distance(std::filesystem::directory_iterator(folder_.path()), {}) == 1;
  }
  const test::TempFolder folder_;
  const Model original_ = tiny_decoder(blocky_decoder_config(2), 9);
};

// gptq's scales may be below 0: then a code's value 0 has either sign.
TEST_F(OutputFormats, OneResultIsWrittenInSeveral) {
  const QuantizeResult r =
      quantized("m", "int4:g32", {"mlx", "compressed-tensors", "gptq", "awq", "gguf"}, "gptq");
  ASSERT_EQ(r.written.size(), 5u);
  EXPECT_EQ(r.written[0].path, folder_ / "m-mlx");
  EXPECT_EQ(r.written[4].path, folder_ / "m.gguf");
  EXPECT_EQ(r.file_bytes, r.written[0].file_bytes);
  EXPECT_EQ(stored_in("m-mlx"), "affine4:g32");
  for (const char* other : {"m-compressed-tensors", "m-gptq", "m-awq", "m.gguf"}) {
    EXPECT_EQ(stored_in(other), "int4:g32") << other;
    expect_same("m-mlx", other);
  }
  EXPECT_FALSE(std::filesystem::exists(folder_ / "m.resume"));
  EXPECT_TRUE(std::filesystem::exists(folder_ / "m-gptq/quantize_config.json"));
}

TEST_F(OutputFormats, OneIsTheOutputItself) {
  quantized("a", "int4:g32", {"gptq"});
  EXPECT_EQ(stored_in("a"), "int4:g32");
  const QuantizeResult r = quantized("b", "int4:g32", {"gguf"});
  EXPECT_EQ(r.written.front().path, folder_ / "b.gguf");
  expect_same("a", "b.gguf");
}

TEST_F(OutputFormats, WhatNoOutputCanBeIsRefusedBeforeAnyWork) {
  expect_error(ErrorKind::invalid_argument, "use compressed-tensors, bitsandbytes, gptq",
               [] { parse_output_format("ggml"); });
  expect_error(ErrorKind::invalid_argument, "gptq is given twice", [&] {
    quantized("m", "int4:g32", {"gptq", "gptq"});
  });
  expect_error(ErrorKind::invalid_argument, "the name of a GGUF file",
               [&] { quantized("m.gguf", "int4:g32", {"gptq"}); });
  expect_error(ErrorKind::unsupported, "awq, which holds int4", [&] {
    quantized("m", "int8", {"compressed-tensors", "awq"});
  });
  expect_error(ErrorKind::unsupported, "no type of GGUF holds int3", [&] {
    quantized("m", "int3:g32", {"gptq", "gguf"});
  });
  EXPECT_TRUE(nothing_made());
}

// Through every layout that holds them, and back, with the same numbers.
TEST_F(OutputFormats, ModelsGoBetweenLayouts) {
  quantized("ct", "int4:g32:asym", {"compressed-tensors"});
  for (const char* to : {"gptq", "awq", "mlx"}) {
    const ConvertResult r = convert("ct", to, to);
    EXPECT_TRUE(r.lossless) << to;
    EXPECT_EQ(r.packed, 14) << to;
    expect_same("ct", to);
  }
  EXPECT_TRUE(convert("awq", "back", "compressed-tensors").lossless);
  EXPECT_EQ(stored_in("back"), "int4:g32:asym");
  EXPECT_EQ(stored_in("gptq"), "int4:g32:asym");
}

// Steps from an offset are the same in MLX and in GGUF.
TEST_F(OutputFormats, OffsetsGoBetweenMlxAndGguf) {
  quantized("a", "affine4:g64", {"mlx"});
  const ConvertResult r = convert("a", "a.gguf", "gguf");
  EXPECT_TRUE(r.lossless);
  EXPECT_EQ(stored_in("a.gguf"), "q4_1");
  expect_same("a", "a.gguf");
  EXPECT_TRUE(convert("a.gguf", "b", "mlx").lossless);
  EXPECT_EQ(stored_in("b"), "affine4:g32");
  expect_same("a", "b");
}

TEST_F(OutputFormats, ALayoutThatHoldsNothingIsNoFolderOfFloats) {
  expect_error(ErrorKind::unsupported, "the model is not quantized, and gptq holds",
               [&] { convert("in", "out", "gptq"); });
  quantized("ct", "int8", {"compressed-tensors"});
  expect_error(ErrorKind::unsupported, "no matrix can keep its codes: they are int8, and awq",
               [&] { convert("ct", "out", "awq"); });
  EXPECT_FALSE(std::filesystem::exists(folder_ / "out"));
}

}  // namespace
}  // namespace nibble
