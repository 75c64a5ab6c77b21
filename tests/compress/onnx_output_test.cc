// ONNX as one of the formats that a result is written in, and as what models are converted to and
// from.
#include <gtest/gtest.h>

#include <array>
#include <filesystem>

#include "tests/compress/output_folders.h"
#include "tests/support/expect_error.h"

namespace nibble {
namespace {

using test::expect_error;

class OnnxOutput : public test::OutputFolders {};

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
  EXPECT_TRUE(nothing_made());
}

}  // namespace
}  // namespace nibble
