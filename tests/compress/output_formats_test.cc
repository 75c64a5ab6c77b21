// What is written is chosen by name: one result in several formats, models between layouts, and
// what cannot be is refused before any work.
#include <gtest/gtest.h>

#include <array>
#include <filesystem>

#include "nibble/compress/kept_codes.h"
#include "nibble/quant/rtn.h"
#include "tests/compress/output_folders.h"
#include "tests/support/expect_error.h"

namespace nibble {
namespace {

using test::expect_error;

class OutputFormats : public test::OutputFolders {};

// gptq's scales may be below 0: then a code's value 0 has either sign.
TEST_F(OutputFormats, OneResultIsWrittenInSeveral) {
  options_.method = "gptq";
  const QuantizeResult r =
      quantized("m", "int4:g32", {"mlx", "compressed-tensors", "gptq", "awq", "gguf"});
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
    const ConvertResult r = converted("ct", to, to);
    EXPECT_TRUE(r.lossless) << to;
    EXPECT_EQ(r.packed, 14) << to;
    expect_same("ct", to);
  }
  EXPECT_TRUE(converted("awq", "back", "compressed-tensors").lossless);
  EXPECT_EQ(stored_in("back"), "int4:g32:asym");
  EXPECT_EQ(stored_in("gptq"), "int4:g32:asym");
}

// Steps from an offset are the same in MLX and in GGUF.
TEST_F(OutputFormats, OffsetsGoBetweenMlxAndGguf) {
  for (const auto& [dtype, a] : {std::pair(DType::f16, std::string("a")), {DType::bf16, "b"}}) {
    options_.scale_dtype = dtype;  // of bf16 scales and offsets become halves, each its own
    quantized(a, "affine4:g64", {"mlx"});
    EXPECT_TRUE(converted(a, a + ".gguf", "gguf").lossless);
    EXPECT_EQ(stored_in(a + ".gguf"), "q4_1");
    expect_same(a, a + ".gguf");
    EXPECT_TRUE(converted(a + ".gguf", a + "-back", "mlx").lossless);
    EXPECT_EQ(stored_in(a + "-back"), "affine4:g32");
    expect_same(a, a + "-back");
  }
}

// Files of others have one (act-order); none of nibble's says it.
TEST_F(OutputFormats, InputsInAnOrderOfTheirOwnAreInNone) {
  const Model model = open_model(folder_ / "in");
  for (const ParamSpec& p : parameter_table(model.config)) {
    if (p.role != Role::q) continue;
    QuantizedTensor q =
        quantize_rtn(model.weights->get(p.name).plain(), parse_scheme("int4:g32"), {}, p.name);
    for (const std::string_view name : output_formats()) {
      const OutputFormat format = parse_output_format(name);
      EXPECT_EQ(kept_codes(p, q, {&format, 1}).has_value(), name != "bitsandbytes") << name;
    }
    std::vector<int32_t> turned(static_cast<size_t>(q.k()));
    for (size_t i = 0; i < turned.size(); ++i)
      turned[i] = static_cast<int32_t>(turned.size() - 1 - i);
    q.input_order = Tensor::from<int32_t>(Shape{q.k()}, turned);
    EXPECT_FALSE(kept_codes(p, q, {}));
    for (const std::string_view name : output_formats()) {
      const OutputFormat format = parse_output_format(name);
      EXPECT_FALSE(kept_codes(p, q, {&format, 1})) << name;
    }
  }
}

TEST_F(OutputFormats, ALayoutThatHoldsNothingIsNoFolderOfFloats) {
  expect_error(ErrorKind::unsupported, "the model is not quantized, and gptq holds",
               [&] { converted("in", "out", "gptq"); });
  quantized("ct", "int8", {"compressed-tensors"});
  expect_error(ErrorKind::unsupported, "no matrix can keep its codes: they are int8, and awq",
               [&] { converted("ct", "out", "awq"); });
  EXPECT_FALSE(std::filesystem::exists(folder_ / "out"));
}

}  // namespace
}  // namespace nibble
