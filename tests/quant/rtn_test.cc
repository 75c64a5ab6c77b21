#include "nibble/quant/rtn.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "nibble/core/error.h"
#include "nibble/core/float_formats.h"
#include "nibble/quant/bits.h"
#include "nibble/quant/method.h"
#include "nibble/quant/scale.h"

namespace nibble {
namespace {

Tensor matrix_of(int64_t n, int64_t k, const std::vector<float>& values) {
  return Tensor::from<float>(Shape{n, k}, values);
}

QuantizedTensor quantize_rtn(const Tensor& w, std::string_view scheme, DType scale = DType::f32,
                             bool half_step = false) {
  RtnOptions options;
  options.scale_dtype = scale;
  options.half_step_divisor = half_step;
  QuantizedTensor q = quantize_rtn(w, parse_scheme(scheme), options, "w");
  validate(q);
  return q;
}

std::vector<int> codes_of(const QuantizedTensor& q, int64_t row) {
  const auto bytes = static_cast<size_t>(q.codes.shape()[1]);
  std::vector<uint8_t> codes(static_cast<size_t>(q.k()));
  unpack_codes(q.codes.data<uint8_t>().subspan(static_cast<size_t>(row) * bytes, bytes),
               q.scheme.bits(), codes);
  return {codes.begin(), codes.end()};
}

std::vector<float> dequantized(const QuantizedTensor& q) {
  const Tensor t = dequantize(q);
  const auto data = t.data<float>();
  return {data.begin(), data.end()};
}

using Ints = std::vector<int>;
using Floats = std::vector<float>;

TEST(Rtn, TiesGoToEven) {
  const auto q =
      quantize_rtn(matrix_of(1, 8, {127, 0.5f, 1.5f, 2.5f, -0.5f, -1.5f, -2.5f, -0.0f}), "int8");
  EXPECT_EQ(codes_of(q, 0), (Ints{255, 128, 130, 130, 128, 126, 126, 128}));
}

TEST(Rtn, FullCodeRangeIsUsedOnlyWhereTheScaleAllowsIt) {
  // absmax / 7 keeps -8 out of reach; absmax / 7.5 reaches it for negative weights.
  EXPECT_EQ(codes_of(quantize_rtn(matrix_of(1, 2, {-7, 7}), "int4"), 0), (Ints{1, 15}));
  const auto half = quantize_rtn(matrix_of(1, 2, {-7.5f, 7.5f}), "int4", DType::f32, true);
  EXPECT_EQ(scale_at(half.scales, 0), 1.0f);
  EXPECT_EQ(codes_of(half, 0), (Ints{0, 15}));
}

TEST(Rtn, ScalesAreRoundedBeforeTheCodes) {
  const float absmax = 1.0f;
  const auto q = quantize_rtn(matrix_of(1, 3, {absmax, 0.3f, -0.77f}), "int8", DType::f16);
  const float scale = f16_to_f32(f32_to_f16(absmax / 127));
  ASSERT_NE(scale, absmax / 127);
  EXPECT_EQ(scale_at(q.scales, 0), scale);
  EXPECT_EQ(q.scales.dtype(), DType::f16);
  EXPECT_EQ(codes_of(q, 0), (Ints{static_cast<int>(std::nearbyint(1.0f / scale)) + 128,
                                  static_cast<int>(std::nearbyint(0.3f / scale)) + 128,
                                  static_cast<int>(std::nearbyint(-0.77f / scale)) + 128}));
}

TEST(Rtn, AsymmetricRangeIsExtendedToHoldZero) {
  const auto up = quantize_rtn(matrix_of(1, 3, {30, 29, 15}), "int4:asym");
  EXPECT_EQ(scale_at(up.scales, 0), 2.0f);
  EXPECT_EQ(up.zeros->data<uint8_t>()[0], 0);
  EXPECT_EQ(codes_of(up, 0), (Ints{15, 14, 8}));
  const auto down = quantize_rtn(matrix_of(1, 3, {-30, -29, -15}), "int4:asym");
  EXPECT_EQ(down.zeros->data<uint8_t>()[0], 15);
  EXPECT_EQ(dequantized(down), (Floats{-30, -28, -16}));
}

TEST(Rtn, ZerosGiveZerosExactly) {
  for (const char* scheme :
       {"int8", "int4:g2", "int2:asym", "int8:tensor", "int3:g2:asym", "ternary"}) {
    const auto q = quantize_rtn(matrix_of(2, 4, {0, -0.0f, 0, 0, 0, 0, 0, 0}), scheme, DType::f16);
    for (const float v : dequantized(q)) EXPECT_EQ(v, 0) << scheme;
  }
}

TEST(Rtn, ConstantGroupsKeepTheirValue) {
  for (const char* scheme : {"int8", "int4:g2", "int2:asym", "int8:tensor", "ternary:g2"}) {
    for (const float c : {3.0f, -3.0f}) {
      const auto q = quantize_rtn(matrix_of(1, 4, {c, c, c, c}), scheme);
      for (const float v : dequantized(q)) EXPECT_FLOAT_EQ(v, c) << scheme;
    }
  }
}

// BAD_INPUTS Q3: scales that f16 cannot hold become its smallest value; the error is at most |w|.
TEST(Rtn, TinyWeightsNeverGiveNanAndNeverGetWorseThanZero) {
  for (const float tiny : {1e-30f, 1e-45f, 6e-8f, 3e-8f, 1e-6f}) {
    for (const char* scheme : {"int8", "int4", "int4:asym", "ternary", "int8:tensor", "int2"}) {
      for (const DType dtype : {DType::f16, DType::bf16, DType::f32}) {
        const Floats w{tiny, -tiny, tiny / 2, 0};
        const auto got = dequantized(quantize_rtn(matrix_of(1, 4, w), scheme, dtype));
        for (size_t i = 0; i < w.size(); ++i)
          EXPECT_LE(std::fabs(got[i] - w[i]), tiny) << scheme << " " << to_string(dtype) << tiny;
      }
    }
  }
}

// BAD_INPUTS Q4.
TEST(Rtn, ScaleThatOverflowsIsRefusedByName) {
  try {
    quantize_rtn(matrix_of(2, 2, {1, 2, 3, 1e30f}), "int8", DType::f16);
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::corrupt);
    EXPECT_NE(std::string(e.what()).find("tensor \"w\""), std::string::npos) << e.what();
    EXPECT_NE(std::string(e.what()).find("row 1"), std::string::npos) << e.what();
  }
  EXPECT_NO_THROW(quantize_rtn(matrix_of(1, 2, {1, 1e30f}), "int8", DType::bf16));
  const float huge = std::numeric_limits<float>::max();
  EXPECT_THROW(quantize_rtn(matrix_of(1, 2, {-huge, huge}), "int8:asym"), Error);
}

// BAD_INPUTS Q1.
TEST(Rtn, RefusesNanAndInfinity) {
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
        -std::numeric_limits<float>::infinity()}) {
    EXPECT_THROW(quantize_rtn(matrix_of(1, 2, {1, bad}), "int8"), Error);
  }
}

// BAD_INPUTS Q10.
TEST(Rtn, GroupThatDoesNotDivideBecomesInt8PerChannel) {
  const auto q = quantize_rtn(matrix_of(1, 5, {1, 2, 3, 4, 127}), "int4:g2:asym:a8");
  EXPECT_EQ(to_string(q.scheme), "int8:a8");
  EXPECT_FALSE(q.zeros.has_value());
  EXPECT_EQ(dequantized(q), (Floats{1, 2, 3, 4, 127}));
  const auto one = quantize_rtn(matrix_of(1, 5, {1, 2, 3, 4, 7}), "int4:g128");
  EXPECT_EQ(to_string(one.scheme), "int4:g128");
  EXPECT_EQ(one.scales.shape(), (Shape{1, 1}));
  EXPECT_THROW(quantize_rtn(Tensor(DType::f32, {3, 0}), "int8"), Error);
  EXPECT_THROW(quantize_rtn(Tensor(DType::f32, {3}), "int8"), Error);
  EXPECT_THROW(quantize_rtn(matrix_of(1, 1, {1}), "f16"), Error);
}

TEST(Rtn, GroupsAndTensorsHaveTheirOwnScales) {
  const auto q = quantize_rtn(matrix_of(2, 4, {7, 1, 70, 10, 0.7f, 0.1f, -7, 1}), "int4:g2");
  EXPECT_EQ(q.scales.shape(), (Shape{2, 2}));
  EXPECT_EQ(codes_of(q, 0), (Ints{15, 9, 15, 9}));
  EXPECT_EQ(codes_of(q, 1), (Ints{15, 9, 1, 9}));
  const auto one = quantize_rtn(matrix_of(2, 2, {7, 1, 3, -1}), "int4:tensor");
  EXPECT_EQ(one.scales.shape(), (Shape{1, 1}));
  EXPECT_EQ(dequantized(one), (Floats{7, 1, 3, -1}));
}

TEST(Rtn, TernaryMeetsTernaryWeightsExactlyAndIsTheBestScale) {
  const Floats w{0.25f, -0.25f, 0, 0.25f};
  EXPECT_EQ(dequantized(quantize_rtn(matrix_of(1, 4, w), "ternary")), w);
  // No other scale of a fine sweep has a smaller error.
  const Floats v{0.9f, -0.1f, 0.4f, -0.75f, 0.05f, 0.6f, -0.3f};
  const auto error = [&](float s) {
    double sum = 0;
    for (const float x : v) {
      const double d = x - s * std::clamp(std::nearbyint(x / s), -1.0f, 1.0f);
      sum += d * d;
    }
    return sum;
  };
  const float chosen = scale_at(quantize_rtn(matrix_of(1, 7, v), "ternary").scales, 0);
  for (float s = 0.01f; s < 1.5f; s += 0.001f) EXPECT_GE(error(s) + 1e-6, error(chosen)) << s;
}

TEST(Rtn, NarrowWeightsGiveTheCodesOfTheirF32Values) {
  const Tensor w = convert(matrix_of(1, 4, {0.11f, -0.5f, 0.3f, 0.9f}), DType::bf16);
  const auto narrow = quantize_rtn(w, "int8");
  const auto wide = quantize_rtn(convert(w, DType::f32), "int8");
  EXPECT_EQ(codes_of(narrow, 0), codes_of(wide, 0));
}

TEST(Rtn, PropertyErrorIsAtMostHalfAStep) {
  EXPECT_TRUE(rc::check("|w - dequantized| <= scale / 2 where nothing is clipped", [] {
    const int bits = *rc::gen::inRange(2, 9);
    const bool asymmetric = *rc::gen::arbitrary<bool>();
    const auto groups = *rc::gen::inRange<int64_t>(1, 4);
    const auto group = *rc::gen::inRange<int64_t>(1, 20);
    const auto raw = *rc::gen::container<std::vector<int>>(static_cast<size_t>(groups * group),
                                                           rc::gen::inRange(-100000, 100001));
    Floats w;
    for (const int v : raw) w.push_back(static_cast<float>(v) * 1e-4f);
    QuantScheme s;
    s.type = static_cast<NumberType>(static_cast<int>(NumberType::int2) + bits - 2);
    s.granularity = Granularity::group;
    s.group = group;
    s.asymmetric = asymmetric;
    const auto q = quantize_rtn(matrix_of(1, groups * group, w), s, {DType::f32, false}, "w");
    const auto got = dequantized(q);
    for (size_t i = 0; i < w.size(); ++i) {
      const float scale = scale_at(q.scales, static_cast<int64_t>(i) / group);
      // The zero point is rounded as well, which may shift the top of the range by half a step.
      const float bound = scale * (asymmetric ? 1.0f : 0.5f) + std::fabs(w[i]) * 1e-5f;
      RC_ASSERT(std::fabs(got[i] - w[i]) <= bound);
    }
  }));
}

TEST(Bits, CountCodesScalesAndZeroPoints) {
  const Tensor w(DType::f32, {4, 128});
  const auto q = quantize_rtn(w, "int4:g32:asym", DType::f16);
  EXPECT_DOUBLE_EQ(bits_per_weight(q), 4 + (16 + 8) / 32.0);
  EXPECT_EQ(q.bytes(), 4u * (64 + 4 * 2 + 4));
  BitCount count;
  EXPECT_EQ(count.bits_per_weight(), 0);
  count.add(q);
  count.add(Tensor(DType::f16, {4, 128}));
  EXPECT_DOUBLE_EQ(count.bits_per_weight(), (4.75 + 16) / 2);
}

TEST(Bits, ThePlanIsWhatQuantizingGives) {
  for (const char* text : {"int8", "int8:tensor", "int4:g16", "int4:g16:asym", "int3:g16", "int5",
                           "int4:g7", "ternary", "int2:asym", "int4:g4096"}) {
    for (const int64_t k : {1, 16, 48, 100, 129}) {
      const auto q = quantize_rtn(Tensor(DType::f32, {3, k}), text, DType::f16);
      EXPECT_EQ(planned_bytes(parse_scheme(text), 3, k, DType::f16),
                static_cast<int64_t>(q.bytes()))
          << text << " " << k;
    }
  }
}

TEST(Method, IsFoundByName) {
  EXPECT_EQ(method("rtn").name, "rtn");
  EXPECT_EQ(method("rtn").needs, Calibration::nothing);
  EXPECT_FALSE(method("rtn").summary.empty());
  EXPECT_THROW(method("gptq "), Error);
}

TEST(QuantizedTensorTest, ValidateRefusesBundlesThatDoNotFit) {
  const auto good =
      quantize_rtn(matrix_of(2, 4, {1, 2, 3, 4, 5, 6, 7, 8}), "int4:g2:asym", DType::f16);
  const auto refuse = [&](auto change) {
    QuantizedTensor q = good;
    q.codes = good.codes.clone();
    q.scales = good.scales.clone();
    q.zeros = good.zeros->clone();
    change(q);
    EXPECT_THROW(validate(q), Error);
  };
  EXPECT_NO_THROW(validate(good));
  refuse([](QuantizedTensor& q) { q.codes = Tensor(DType::u8, {2, 8}); });
  refuse([](QuantizedTensor& q) { q.codes = Tensor(DType::i8, {2, 4}); });
  refuse([](QuantizedTensor& q) { q.scales = Tensor(DType::f16, {2, 1}); });
  refuse([](QuantizedTensor& q) { q.scales = Tensor(DType::i32, {2, 2}); });
  refuse([](QuantizedTensor& q) { q.zeros.reset(); });
  refuse([](QuantizedTensor& q) { q.zeros->mutable_data<uint8_t>()[3] = 16; });
  refuse([](QuantizedTensor& q) { q.shape = {2, 400}; });
  refuse([](QuantizedTensor& q) { q.shape = {2, int64_t{1} << 62}; });
  refuse([](QuantizedTensor& q) { q.shape = {-2, 4}; });
  refuse([](QuantizedTensor& q) { q.shape = {8}; });
  refuse([](QuantizedTensor& q) { q.scheme.group = 0; });
  refuse([](QuantizedTensor& q) { q.scheme.type = NumberType::nf4; });
  refuse([](QuantizedTensor& q) {
    const uint16_t infinity = 0x7C00;
    std::memcpy(q.scales.mutable_raw() + 2, &infinity, 2);
  });
}

}  // namespace
}  // namespace nibble
