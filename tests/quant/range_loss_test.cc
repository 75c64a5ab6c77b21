// Weights that a narrow type has no digits for are told of: scales in f16, nested and shared ones,
// plain weights.
#include "nibble/quant/range_loss.h"

#include <gtest/gtest.h>

#include <cmath>

#include "nibble/core/float_formats.h"
#include "nibble/core/random.h"
#include "nibble/quant/rtn.h"

namespace nibble {
namespace {

constexpr int64_t kRows = 32, kColumns = 64;

// Normal weights; the rows from `first` to `last` times `factor`.
Tensor weights(float factor, int64_t first = 0, int64_t last = kRows) {
  PyRandom random(3);
  Tensor out(DType::f32, Shape{kRows, kColumns});
  const auto x = out.mutable_data<float>();
  for (float& v : x) v = static_cast<float>(random.gauss(0, 0.05));
  for (int64_t i = first * kColumns; i < last * kColumns; ++i) x[static_cast<size_t>(i)] *= factor;
  return out;
}

std::string loss(const Tensor& w, std::string_view scheme, RtnOptions options = {}) {
  return range_loss(quantize_rtn(w, parse_scheme(scheme), options, "w"), [&] { return w; });
}

TEST(RangeLoss, OrdinaryWeightsLoseNothing) {
  for (const char* scheme : {"int8", "int8:tensor", "int4:g32", "int4:g32:asym", "int2:g16",
                             "ternary", "nf4", "fp4:g32", "fp8_e4m3", "mxfp4", "nvfp4"}) {
    EXPECT_EQ(loss(weights(1), scheme), "") << scheme;
    EXPECT_EQ(loss(weights(0x1p-8f), scheme), "") << scheme;
    EXPECT_EQ(loss(weights(0x1p-5f, 3, 9), scheme), "") << scheme;
    EXPECT_EQ(loss(weights(0), scheme), "") << scheme;
    EXPECT_EQ(loss(weights(0, 3, 4), scheme), "") << scheme;
  }
}

TEST(RangeLoss, ScalesTooSmallForF16AreCounted) {
  const Tensor all = weights(0x1p-24f), some = weights(0x1p-24f, 5, 9);
  for (const char* scheme : {"int8", "int4:g64", "int4:g64:asym", "ternary:g64", "fp8_e4m3"}) {
    EXPECT_NE(loss(all, scheme).find("32 of 32 groups lost"), std::string::npos)
        << scheme << loss(all, scheme);
    EXPECT_NE(loss(all, scheme).find("`scale_dtype` bf16"), std::string::npos);
    EXPECT_NE(loss(some, scheme).find("4 of 32 groups lost"), std::string::npos) << scheme;
    EXPECT_EQ(loss(all, scheme, {.scale_dtype = DType::bf16}), "") << scheme;
    EXPECT_EQ(loss(all, scheme, {.scale_dtype = DType::f32}), "") << scheme;
  }
}

// It says "lost" where the weights are: their error is not that of the codes' bits.
TEST(RangeLoss, WhatIsToldOfIsLost) {
  for (const int power : {0, -6, -10, -12, -14, -20}) {
    const Tensor w = weights(std::ldexp(1.0f, power));
    const QuantizedTensor q = quantize_rtn(w, parse_scheme("int8"), {}, "w");
    const Tensor back = dequantize(q);
    double error = 0, square = 0;
    for (int64_t i = 0; i < w.elements(); ++i) {
      const double x = w.data<float>()[static_cast<size_t>(i)];
      const double d = x - back.data<float>()[static_cast<size_t>(i)];
      error += d * d;
      square += x * x;
    }
    const bool told = !range_loss(q, [&] { return w; }).empty();
    const double share = error / square;
    EXPECT_TRUE(told || share < 1e-3) << power << " " << share;
    EXPECT_TRUE(!told || share > 1e-4) << power << " " << share;
  }
}

TEST(RangeLoss, NestedScalesBesideLargerOnes) {
  const Tensor w = weights(0x1p-12f, 4, 10);
  for (const char* scheme : {"nf4:g64", "fp4:g64"}) {
    EXPECT_NE(loss(w, scheme).find("6 of 32 groups lost"), std::string::npos) << loss(w, scheme);
    EXPECT_NE(loss(w, scheme).find("`scale_dtype` f32"), std::string::npos);
    EXPECT_EQ(loss(w, scheme, {.scale_dtype = DType::f32}), "");
  }
}

TEST(RangeLoss, SharedScaleOfNvfp4) {
  const Tensor small = weights(0x1p-20f);
  EXPECT_EQ(loss(small, "nvfp4"), "");
  EXPECT_NE(loss(small, "nvfp4", {.joint_magnitude = 0.2f}).find("128 of 128 groups lost"),
            std::string::npos)
      << loss(small, "nvfp4", {.joint_magnitude = 0.2f});
  EXPECT_NE(loss(weights(0x1p-20f, 0, 2), "nvfp4").find("8 of 128 groups lost"), std::string::npos);
}

TEST(RangeLoss, RowsOfPlainTensors) {
  const auto told = [](const Tensor& w, DType dtype) {
    return range_loss(convert(w, dtype), [&] { return w; });
  };
  EXPECT_EQ(told(weights(1), DType::f16), "");
  EXPECT_EQ(told(weights(0, 2, 5), DType::f16), "");
  EXPECT_NE(told(weights(0x1p-24f, 2, 5), DType::f16).find("3 of 32 rows lost"), std::string::npos);
  EXPECT_EQ(told(weights(0x1p-24f), DType::bf16), "");
  const Tensor gain = Tensor::from<float>(Shape{3}, std::vector<float>{1e-9f, 0, 1e-8f});
  EXPECT_NE(told(gain, DType::f16).find("1 of 1 row lost"), std::string::npos);
  // Nothing became narrower.
  const Tensor half = convert(weights(0x1p-18f), DType::f16);
  EXPECT_EQ(range_loss(half, [&] { return half; }), "");
}

}  // namespace
}  // namespace nibble
