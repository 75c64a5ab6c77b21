// The block types of GGUF and MLX: their scales (in two levels), and the methods that write into
// them.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "nibble/core/float_formats.h"
#include "nibble/quant/bits.h"
#include "nibble/quant/grid.h"
#include "nibble/quant/method.h"
#include "nibble/quant/number.h"
#include "nibble/quant/weight_error.h"
#include "tests/support/correlated.h"
#include "tests/support/expect_error.h"

namespace nibble {
namespace {

using test::correlated_layer;
using test::Layer;

class BlockTypes : public testing::TestWithParam<const char*> {
 protected:
  QuantScheme scheme() const { return parse_scheme(GetParam()); }
  const NumberTraits& type() const { return number(scheme()); }
  WeightResult run(const Layer& layer, std::string_view name, int threads = 1) const {
    const Tensor w = Tensor::from<float>(Shape{layer.n, layer.k}, layer.w);
    const MethodOptions options;
    WeightResult r = method(name).quantize({w, scheme(), options, "w", &layer.input, threads});
    validate(r.weight);
    return r;
  }
  double error_of(const Layer& layer, const QuantizedTensor& q) const {
    const Tensor values = dequantize(q);
    double sum = 0, power = 0;
    for (size_t i = 0; i < layer.w.size(); ++i) {
      sum += std::pow(double{layer.w[i]} - values.data<float>()[i], 2);
      power += std::pow(double{layer.w[i]}, 2);
    }
    return sum / power;
  }
};

// Of normal weights a grid of b bits with its steps well chosen leaves about 4^-b.
TEST_P(BlockTypes, RoundingToNearestLeavesWhatItsBitsLeave) {
  const Layer layer = correlated_layer(1, 8, 512, 512, 64);
  const double error = error_of(layer, run(layer, "rtn").weight);
  EXPECT_LT(error, 1.6 * std::pow(4, -type().bits)) << GetParam();
  EXPECT_GT(error, 0.2 * std::pow(4, -type().bits)) << GetParam();
}

TEST_P(BlockTypes, ScalesAreHalvesAndBytesThatFilesHold) {
  const Layer layer = correlated_layer(2, 4, 512, 512, 64);
  const QuantizedTensor q = run(layer, "gptq").weight;
  if (type().scales->super != SuperScale::inputs) {
    EXPECT_EQ(q.scales.dtype(), DType::f16);
    return;
  }
  const auto [low, high] = type().scale_bytes;
  for (const int8_t byte : q.scales.data<int8_t>()) {
    EXPECT_GE(byte, low);
    EXPECT_LE(byte, high);
  }
  for (const float s : q.super_scales->data<float>()) EXPECT_EQ(f16_to_f32(f32_to_f16(s)), s);
  if (!q.offsets) return;
  for (const int8_t byte : q.offsets->data<int8_t>()) {
    EXPECT_GE(byte, 0);
    EXPECT_LE(byte, high);
  }
  for (const float s : q.super_offsets->data<float>()) {
    EXPECT_EQ(f16_to_f32(f32_to_f16(s)), s);
    EXPECT_LE(s, 0);
  }
}

TEST_P(BlockTypes, SecondOrderRoundingHalvesTheError) {
  const Layer layer = correlated_layer(3, 32, 512, 200, 1024);
  const WeightResult r = run(layer, "gptq");
  EXPECT_FALSE(r.fell_back) << r.note;
  EXPECT_LT(r.error, 0.6 * r.rtn_error) << GetParam();
}

TEST_P(BlockTypes, ImportanceLowersTheErrorOfOutputs) {
  const Layer layer = correlated_layer(4, 32, 512, 512, 1024);
  const WeightResult r = run(layer, "imatrix");
  EXPECT_LE(r.error, r.rtn_error) << GetParam();
}

TEST_P(BlockTypes, GiveTheSameBytesForAnyNumberOfThreads) {
  const Layer layer = correlated_layer(5, 70, 256, 256, 300);
  for (const char* name : {"rtn", "gptq"}) {
    const QuantizedTensor one = run(layer, name).weight, three = run(layer, name, 3).weight;
    EXPECT_EQ(dequantize(one).data<float>()[0], dequantize(three).data<float>()[0]);
    EXPECT_TRUE(std::equal(one.codes.raw(), one.codes.raw() + one.codes.bytes(), three.codes.raw()))
        << name;
  }
}

TEST_P(BlockTypes, GridsComeBackFromWhatWasPacked) {
  const Layer layer = correlated_layer(6, 5, 256, 256, 300);
  const QuantizedTensor q = run(layer, "rtn").weight;
  const GridMatrix m = GridMatrix::unpack(q, "gptq");
  const Tensor values = dequantize(q);
  const std::vector<float> of_grids = m.values();
  for (size_t i = 0; i < of_grids.size(); ++i) EXPECT_EQ(of_grids[i], values.data<float>()[i]) << i;
  const QuantizedTensor again = m.pack();
  EXPECT_TRUE(std::equal(q.codes.raw(), q.codes.raw() + q.codes.bytes(), again.codes.raw()));
  EXPECT_TRUE(std::equal(q.scales.raw(), q.scales.raw() + q.scales.bytes(), again.scales.raw()));
}

// Zeros, one value everywhere, values of one sign, and a block with a single large weight.
TEST_P(BlockTypes, OddWeightsStayWhatTheyAre) {
  constexpr int64_t kK = 256;
  Tensor w(DType::f32, Shape{4, kK});
  const auto x = w.mutable_data<float>();
  for (size_t i = 0; i < kK; ++i) {
    x[kK + i] = 0.5f;
    x[2 * kK + i] = 1 + static_cast<float>(i % 7) / 8;
    x[3 * kK + i] = i == 100 ? -3.0f : 0.0f;
  }
  const QuantizedTensor q = quantize_rtn(w, scheme(), {}, "w");
  const Tensor values = dequantize(q);
  const auto y = values.data<float>();
  for (size_t i = 0; i < kK; ++i) {
    EXPECT_EQ(y[i], 0);
    EXPECT_NEAR(y[kK + i], 0.5f, 0.13f) << GetParam();
    EXPECT_NEAR(y[2 * kK + i], x[2 * kK + i], 0.35f) << GetParam();
    EXPECT_NEAR(y[3 * kK + i], x[3 * kK + i], 0.2f) << GetParam();
  }
}

TEST_P(BlockTypes, WeightsBeyondTheirScalesAreRefusedByName) {
  Tensor w(DType::f32, Shape{1, 256});
  w.mutable_data<float>()[3] = 1e30f;
  test::expect_error(ErrorKind::corrupt, "scale", [&] { quantize_rtn(w, scheme(), {}, "big"); });
  w.mutable_data<float>()[3] = NAN;
  test::expect_error(ErrorKind::corrupt, "big", [&] { quantize_rtn(w, scheme(), {}, "big"); });
}

TEST_P(BlockTypes, CountTheBitsOfTheirFiles) {
  struct {
    int64_t elements, bytes;
  } block{type().block.elements, type().block.bytes};
  if (block.bytes == 0)  // MLX: a group, its scale and its offset
    block = {scheme().group, scheme().group * type().bits / 8 + 4};
  const QuantizedTensor q = run(correlated_layer(7, 3, 512, 512, 64), "rtn").weight;
  EXPECT_DOUBLE_EQ(bits_per_weight(q),
                   8.0 * static_cast<double>(block.bytes) / static_cast<double>(block.elements));
  EXPECT_EQ(planned_bytes(scheme(), 3, 512, DType::f16), 3 * 512 / block.elements * block.bytes);
}

INSTANTIATE_TEST_SUITE_P(All, BlockTypes,
                         testing::Values("q4_1", "q5_1", "q2_k", "q3_k", "q4_k", "q5_k", "q6_k",
                                         "iq4_nl", "iq4_xs", "affine2:g32", "affine3:g32",
                                         "affine4:g32", "affine5:g32", "affine6:g32",
                                         "affine8:g32"),
                         [](const auto& of) {
                           const std::string name = of.param;
                           return name.substr(0, name.find(':'));
                         });

// llama-quant.cpp: what takes the place of a type whose blocks do not fit.
TEST(BlockTypesOfOtherWidths, BecomeTheNextTypeWithBlocksOf32) {
  const auto stored = [](const char* scheme, int64_t k) {
    return to_string(storable_scheme(parse_scheme(scheme), k));
  };
  EXPECT_EQ(stored("q4_k", 512), "q4_k");
  EXPECT_EQ(stored("q2_k", 96), "int4:g32");
  EXPECT_EQ(stored("q3_k", 96), "int4:g32");
  EXPECT_EQ(stored("q4_k:a8", 96), "int5:g32:a8");
  EXPECT_EQ(stored("q5_k", 96), "q5_1");
  EXPECT_EQ(stored("q6_k", 96), "int8:g32");
  EXPECT_EQ(stored("iq4_xs", 96), "iq4_nl");
  EXPECT_EQ(stored("iq4_nl", 90), "int8");
}

TEST(BlockTypesOfOtherWidths, AreRefusedWhereTheyComeFromAFile) {
  QuantizedTensor q;
  q.scheme = parse_scheme("q4_k");
  q.shape = Shape{1, 96};
  test::expect_error(ErrorKind::corrupt, "whole blocks of 256", [&] { validate(q); });
}

// A scheme may also come from a model that was read.
TEST(BlockTypeMethods, MakeNothingThatIsOnlyRead) {
  const Layer layer = correlated_layer(8, 2, 256, 256, 64);
  const Tensor w = Tensor::from<float>(Shape{2, 256}, layer.w);
  const MethodOptions options;
  for (const char* name : {"rtn", "imatrix", "gptq", "autoround", "hqq"}) {
    test::expect_error(ErrorKind::invalid_argument, "iq2_xs is read from files and not made", [&] {
      method(name).quantize({w, parse_any_scheme("iq2_xs"), options, "w", &layer.input, 1});
    });
  }
}

TEST(BlockTypeMethods, RefuseWhatTheyCannotDo) {
  const Layer layer = correlated_layer(8, 2, 256, 256, 64);
  const Tensor w = Tensor::from<float>(Shape{2, 256}, layer.w);
  const MethodOptions options;
  test::expect_error(ErrorKind::unsupported, "hqq cannot make q4_k", [&] {
    method("hqq").quantize({w, parse_scheme("q4_k"), options, "w", &layer.input, 1});
  });
}

}  // namespace
}  // namespace nibble
