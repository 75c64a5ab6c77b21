// What must hold for every way of quantizing whatever the numbers are: how results follow scaled,
// negated and rearranged weights, and that finer is not worse.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "nibble/core/float_formats.h"
#include "nibble/core/random.h"
#include "nibble/quant/method.h"
#include "tests/support/correlated.h"
#include "tests/support/expect_error.h"

namespace nibble {
namespace {

constexpr int64_t kOutputs = 6, kInputs = 64;
using Matrix = std::vector<float>;

Matrix normal_matrix(uint64_t seed) {
  PyRandom random(seed);
  Matrix out(kOutputs * kInputs);
  for (float& v : out) v = static_cast<float>(random.gauss(0, 0.05));
  return out;
}

QuantizedTensor rounded(const Matrix& w, std::string_view scheme, DType scales = DType::f32) {
  return quantize_rtn(Tensor::from<float>({kOutputs, kInputs}, w), parse_scheme(scheme),
                      {.scale_dtype = scales}, "w");
}

Matrix values(const QuantizedTensor& q) {
  const Tensor t = dequantize(q);
  return {t.data<float>().begin(), t.data<float>().end()};
}

Matrix rounded_values(const Matrix& w, std::string_view scheme, DType scales = DType::f32) {
  return values(rounded(w, scheme, scales));
}

Matrix scaled(Matrix w, float by) {
  for (float& v : w) v *= by;
  return w;
}

double squared_error(const Matrix& a, const Matrix& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += std::pow(double{a[i]} - double{b[i]}, 2);
  return sum;
}

// Element i of the result is element at(i) of w.
template <class At>
Matrix rearranged(const Matrix& w, At at) {
  Matrix out(w.size());
  for (size_t i = 0; i < w.size(); ++i) out[i] = w[at(i)];
  return out;
}

const std::vector<const char*> kSymmetric = {"int8",  "int8:tensor", "int6:g16", "int4:g32",
                                             "int3",  "int2:g16",    "ternary",  "fp4:g32",
                                             "mxfp4", "nvfp4",       "fp8_e4m3", "fp8_e5m2:tensor"};
const std::vector<const char*> kOthers = {"int8:asym", "int4:g16:asym", "int2:g32:asym", "nf4:g64"};

std::vector<const char*> every_scheme() {
  std::vector<const char*> out = kSymmetric;
  out.insert(out.end(), kOthers.begin(), kOthers.end());
  return out;
}

// Powers of two change exponents alone, so results must be the same bits, moved.
TEST(Invariance, WeightsTimesAPowerOfTwoGiveResultsTimesIt) {
  const Matrix w = normal_matrix(1);
  for (const char* scheme : every_scheme()) {
    for (const DType scales : {DType::f32, DType::bf16}) {
      const Matrix once = rounded_values(w, scheme, scales);
      for (const float by : {0.125f, 64.0f})
        EXPECT_EQ(rounded_values(scaled(w, by), scheme, scales), scaled(once, by))
            << scheme << " " << to_string(scales) << " x " << by;
    }
  }
}

TEST(Invariance, NegatedWeightsGiveNegatedResults) {
  const Matrix w = normal_matrix(2);
  for (const char* scheme : kSymmetric)
    EXPECT_EQ(rounded_values(scaled(w, -1), scheme), scaled(rounded_values(w, scheme), -1))
        << scheme;
}

size_t other_row(size_t i) {
  constexpr size_t kOrder[kOutputs] = {3, 0, 5, 1, 4, 2};
  return kOrder[i / kInputs] * kInputs + i % kInputs;
}

TEST(Invariance, RowsInAnotherOrderGiveRowsInThatOrder) {
  const Matrix w = normal_matrix(3);
  for (const char* scheme : every_scheme())
    EXPECT_EQ(rounded_values(rearranged(w, other_row), scheme),
              rearranged(rounded_values(w, scheme), other_row))
        << scheme;
}

// Groups of 16 turned round, and the inputs within each.
TEST(Invariance, InputsChangePlacesWithinGroupsAndGroupsAmongThemselves) {
  const Matrix w = normal_matrix(4);
  const auto reversed = [](size_t i) {
    return i / kInputs * kInputs + (kInputs - 1 - i % kInputs);
  };
  for (const char* scheme : {"int8", "int4:g16", "int3:g32:asym", "ternary", "nf4:g32", "fp4:g16",
                             "mxfp4", "nvfp4", "fp8_e4m3"})
    EXPECT_EQ(rounded_values(rearranged(w, reversed), scheme),
              rearranged(rounded_values(w, scheme), reversed))
        << scheme;
}

// A weight that is already of the scheme's numbers stays as it is, to the bit.
TEST(Invariance, RoundingWhatIsRoundedChangesNothing) {
  for (const uint64_t seed : {5, 6, 7}) {
    const Matrix w = normal_matrix(seed);
    for (const char* scheme : {"int8", "int8:tensor", "int6:g16", "int4:g32", "int3", "int2:g16",
                               "ternary", "nf4:g64", "fp4:g32", "mxfp4", "fp8_e4m3"}) {
      const QuantizedTensor once = rounded(w, scheme), twice = rounded(values(once), scheme);
      EXPECT_EQ(values(twice), values(once)) << scheme;
      EXPECT_TRUE(std::ranges::equal(twice.codes.data<uint8_t>(), once.codes.data<uint8_t>()))
          << scheme;
    }
  }
}

// Whatever type the weights come in: what counts is their values.
TEST(Invariance, NarrowWeightsAreRoundedAsTheirValuesAre) {
  const Tensor w = Tensor::from<float>({kOutputs, kInputs}, normal_matrix(10));
  for (const char* scheme : every_scheme()) {
    for (const DType type : {DType::f16, DType::bf16}) {
      const Tensor narrow = convert(w, type);
      const QuantizedTensor direct = quantize_rtn(narrow, parse_scheme(scheme), {}, "w"),
                            wide = quantize_rtn(convert(narrow, DType::f32), parse_scheme(scheme),
                                                {}, "w");
      EXPECT_EQ(values(direct), values(wide)) << scheme << " " << to_string(type);
    }
  }
}

TEST(Invariance, WhatIsNoMatrixOrNoScaleIsRefused) {
  const Tensor w = Tensor::from<float>({kOutputs, kInputs}, normal_matrix(11));
  test::expect_error(ErrorKind::invalid_argument, "scales cannot be stored as i8", [&] {
    quantize_rtn(w, parse_scheme("int8"), {.scale_dtype = DType::i8}, "w");
  });
  const MethodOptions options;
  for (const Shape& shape : {Shape{64}, Shape{2, 0}, Shape{2, 4, 8}}) {
    const Tensor odd(DType::f32, shape);
    test::expect_error(ErrorKind::invalid_argument, "cannot be quantized: expected [n, k]", [&] {
      method("hqq").quantize({odd, parse_scheme("int8"), options, "w"});
    });
  }
}

TEST(Invariance, ErrorsFallWithEveryBit) {
  const Matrix w = normal_matrix(8);
  for (const char* rest : {":tensor", "", ":g32", ":g16:asym"}) {
    double before = squared_error(w, rounded_values(w, "int2" + std::string(rest)));
    for (int bits = 3; bits <= 8; ++bits) {
      const std::string scheme = "int" + std::to_string(bits) + rest;
      const double now = squared_error(w, rounded_values(w, scheme));
      EXPECT_LT(now, before * 0.45) << scheme << ": half the step, a quarter of the error";
      before = now;
    }
  }
}

// Also a table made for normal weights, and a zero point: each is better than even steps around 0.
TEST(Invariance, FinerScalesAreNoWorse) {
  const Matrix w = normal_matrix(9);
  double before = squared_error(w, rounded_values(w, "int4:tensor"));
  for (const char* scheme : {"int4", "int4:g32", "int4:g16", "int4:g8"}) {
    const double now = squared_error(w, rounded_values(w, scheme));
    EXPECT_LT(now, before) << scheme;
    before = now;
  }
  EXPECT_LT(squared_error(w, rounded_values(w, "nf4:g32")),
            squared_error(w, rounded_values(w, "int4:g32")));
  EXPECT_LT(squared_error(w, rounded_values(w, "int4:g32:asym")),
            squared_error(w, rounded_values(w, "int4:g32")));
}

// Every method chooses the numbers of a row by that row and by what all rows read.
TEST(Invariance, MethodsQuantizeEachRowByItself) {
  const test::Layer layer = test::correlated_layer(3, kOutputs, kInputs, 40, 200);
  const auto run = [&](const Method& m, const Matrix& w, std::string_view scheme) {
    const Tensor weight = Tensor::from<float>({kOutputs, kInputs}, w);
    const MethodOptions options;
    return values(m.quantize({weight, parse_scheme(scheme), options, "w", &layer.input}).weight);
  };
  for (const Method& m : methods()) {
    for (const char* scheme : {"int4:g16", "int3:g32:asym"})
      EXPECT_EQ(run(m, rearranged(layer.w, other_row), scheme),
                rearranged(run(m, layer.w, scheme), other_row))
          << m.name << " " << scheme;
  }
}

// Inputs twice as large weigh all errors four times as much: no choice changes.
TEST(Invariance, TheScaleOfInputsChangesNoChoice) {
  test::Layer layer = test::correlated_layer(4, kOutputs, kInputs, 40, 200);
  const auto run = [&](const Method& m) {
    const Tensor weight = Tensor::from<float>({kOutputs, kInputs}, layer.w);
    const MethodOptions options;
    return values(
        m.quantize({weight, parse_scheme("int4:g16"), options, "w", &layer.input}).weight);
  };
  std::vector<Matrix> before;
  for (const Method& m : methods()) before.push_back(run(m));
  Matrix louder = layer.x;
  for (float& v : louder) v *= 2;
  StatisticsCollector collector(kInputs, {true, false, 0});
  collector.add({louder, {}, {}}, layer.rows, 1);
  layer.input = collector.finish(1);
  for (size_t i = 0; i < before.size(); ++i)
    EXPECT_EQ(run(methods()[i]), before[i]) << methods()[i].name;
}

}  // namespace
}  // namespace nibble
