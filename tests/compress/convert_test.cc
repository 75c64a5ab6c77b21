// Models in other formats: what their weights stand for stays.
#include "nibble/compress/convert.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "nibble/compress/quantize.h"
#include "tests/support/expect_error.h"
#include "tests/support/shared.h"
#include "tests/support/temp_folder.h"
#include "tests/support/tiny_decoders.h"

namespace nibble {
namespace {

using test::expect_error;

class Convert : public testing::Test {
 protected:
  Convert() { write_tiny_decoder(original_, folder_ / "in"); }
  std::string quantized(const std::string& name, const std::string& scheme) {
    QuantizeOptions o;
    o.scheme = parse_scheme(scheme);
    quantize_model(folder_ / "in", folder_ / name, o, {});
    return folder_ / name;
  }
  ConvertResult convert(const std::string& in, const std::string& out,
                        std::optional<DType> to = std::nullopt,
                        std::optional<OutputFormat> format = std::nullopt) {
    return convert_model(in, folder_ / out, {to, format, false, ""}, {});
  }
  // Every weight has the same values in both.
  static void expect_same(const std::string& a, const std::string& b) {
    const Model x = open_model(a), y = open_model(b);
    for (const ParamSpec& p : parameter_table(x.config))
      EXPECT_EQ(x.weights->get(p.name).values(), y.weights->get(p.name).values()) << p.name;
  }
  static std::string stored_in(const std::string& path) {
    return open_model(path).weights->get("model.layers.1.self_attn.q_proj.weight").stored_as();
  }
  const test::TempFolder folder_;
  const Model original_ = tiny_decoder(blocky_decoder_config(2), 9);
};

// Through the other format and back, with the same codes.
TEST_F(Convert, EveryTypeOfBothGoesThereAndBack) {
  for (const std::string scheme : {"int8:g32", "int4:g32", "int5:g32", "mxfp4"}) {
    const std::string name = scheme.substr(0, 4), folder = folder_ / (name + "-folder");
    const std::string first = quantized(name + ".gguf", scheme);
    const ConvertResult there = convert(first, name + "-folder");
    EXPECT_TRUE(there.lossless) << scheme;
    EXPECT_EQ(there.packed, 14) << scheme;
    EXPECT_EQ(stored_in(folder), stored_in(first));
    EXPECT_TRUE(convert(folder, name + "-back.gguf").lossless) << scheme;
    expect_same(first, folder_ / (name + "-back.gguf"));
  }
}

TEST_F(Convert, LargerGroupsAreCutAndStayTheSame) {
  const std::string folder = quantized("eight", "int8");
  EXPECT_TRUE(convert(folder, "eight.gguf").lossless);
  EXPECT_EQ(stored_in(folder_ / "eight.gguf"), "int8:g32");
  expect_same(folder, folder_ / "eight.gguf");
}

TEST_F(Convert, WhatTheOutputCannotHoldBecomesFloatsAndIsTold) {
  const std::string file = quantized("k.gguf", "q4_k");
  const ConvertResult r = convert(file, "folder");
  EXPECT_FALSE(r.lossless);
  EXPECT_EQ(r.packed, 0);
  EXPECT_EQ(r.changed.size(), 14u);
  EXPECT_EQ(stored_in(folder_ / "folder"), "f16");
  const ConvertResult wide = convert(file, "wide", DType::f32);
  EXPECT_TRUE(wide.lossless);
  expect_same(file, folder_ / "wide");
}

TEST_F(Convert, FloatsBecomeOthersWhereAsked) {
  const ConvertResult r = convert(folder_ / "in", "half.gguf", DType::f16);
  EXPECT_FALSE(r.lossless);
  EXPECT_EQ(r.plain, 16);
  EXPECT_TRUE(convert(folder_ / "half.gguf", "again", DType::f16).lossless);
  expect_error(ErrorKind::invalid_argument, "`to` i8",
               [&] { convert(folder_ / "in", "x", DType::i8); });
}

TEST_F(Convert, InputsThatAreRoundedAreNotForgotten) {
  const std::string folder = quantized("a8", "int8:a8");
  const ConvertResult r = convert(folder, "a8.gguf");
  EXPECT_FALSE(r.lossless);
  EXPECT_TRUE(r.changed.empty());
  ASSERT_FALSE(r.warnings.empty());
  EXPECT_NE(r.warnings.front().find("inputs"), std::string::npos);
  EXPECT_TRUE(convert(folder, "copy").lossless);
}

// Types of GGUF have scales in f16.
TEST_F(Convert, ScalesThatAreNoHalvesMakeFloats) {
  QuantizeOptions o;
  o.scheme = parse_scheme("int8:g32");
  o.scale_dtype = DType::f32;
  quantize_model(folder_ / "in", folder_ / "wide", o, {});
  const ConvertResult r = convert(folder_ / "wide", "wide.gguf");
  EXPECT_FALSE(r.lossless);
  EXPECT_EQ(r.packed, 0);
  EXPECT_EQ(stored_in(folder_ / "wide.gguf"), "f16");
}

// Numbers of inputs that GGUF has no place for go, and that is told.
TEST_F(Convert, StaticInputsAreNotForgottenEither) {
  QuantizeOptions o;
  o.scheme = parse_scheme("int8:channel:a8static");
  o.calibration = {"", 16, 32, 42};
  quantize_model(folder_ / "in", folder_ / "static", o, {});
  const ConvertResult r = convert(folder_ / "static", "static.gguf");
  EXPECT_FALSE(r.lossless);
  EXPECT_EQ(r.packed, 14);
  EXPECT_EQ(stored_in(folder_ / "static.gguf"), "int8:g32");
  EXPECT_TRUE(convert(folder_ / "static", "copy").lossless);
}

TEST_F(Convert, RefusesItsInputAndWhatExists) {
  expect_error(ErrorKind::invalid_argument, "", [&] { convert(folder_ / "in", "in"); });
  convert(folder_ / "in", "out");
  expect_error(IoCause::cannot_create, "exists", [&] { convert(folder_ / "in", "out"); });
}

// Files of auto-round (../shared/data/README.md): symmetric GPTQ has a type of GGUF.
TEST_F(Convert, OthersFilesKeepTheirValues) {
  const std::string from = "../shared/data/thirdparty/";
  if (test::lacks_shared(from)) GTEST_SKIP() << from;
  const std::string gptq = from + "llama-shakespeare-gptq-w4g32",
                    awq = from + "llama-shakespeare-awq-w4g32";
  EXPECT_TRUE(convert(gptq, "gptq.gguf").lossless);
  expect_same(gptq, folder_ / "gptq.gguf");
  EXPECT_TRUE(convert(awq, "awq").lossless);
  expect_same(awq, folder_ / "awq");
}

}  // namespace
}  // namespace nibble
