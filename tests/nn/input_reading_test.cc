// Weights whose columns stand for inputs in an order of their own, and inputs rounded to fp8: each
// member of a group reads the rows in its own way.
#include "nibble/nn/input_reading.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "nibble/core/random.h"
#include "nibble/quant/rtn.h"
#include "nibble/quant/static_activations.h"
#include "tests/support/expect_error.h"

namespace nibble {
namespace {

constexpr int64_t kN = 70, kK = 96;

Tensor some_order(uint64_t seed) {
  Tensor t(DType::i32, Shape{kK});
  const auto order = t.mutable_data<int32_t>();
  std::iota(order.begin(), order.end(), 0);
  PyRandom random(seed);
  for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random.below(i)]);
  return t;
}

// A scheme, with an order of the columns where `order` is not 0.
LinearMember member(const std::string& scheme, uint64_t order) {
  PyRandom random(order + 9);
  Tensor w(DType::f32, Shape{kN, kK});
  for (float& v : w.mutable_data<float>()) v = static_cast<float>(random.gauss(0, 0.1));
  if (scheme == "f32") return {scheme, w, std::nullopt};
  QuantizedTensor q = quantize_rtn(w, parse_scheme(scheme), {}, "w");
  if (order != 0) q.input_order = some_order(order);
  return {scheme, q, std::nullopt};
}

Tensor values_of(const Weight& w) { return w.is_quantized() ? w.floats() : w.plain(); }

std::vector<float> some_rows(int64_t m) {
  PyRandom random(4);
  std::vector<float> x(static_cast<size_t>(m * kK));
  for (float& v : x) v = static_cast<float>(random.gauss(0, 1));
  x[3] = 40;  // an outlier
  return x;
}

// The products of each member by the definition: rounded rows times dequantized weights.
void expect_products(const std::vector<LinearMember>& members) {
  const LinearGroup group(members, {});
  for (const int64_t m : {1, 3, 17, 130}) {
    const std::vector<float> x = some_rows(m);
    std::vector<std::vector<float>> y(members.size(), std::vector<float>(kN * m));
    std::vector<float*> to;
    for (auto& each : y) to.push_back(each.data());
    Exec exec;
    exec.threads = 2;
    group.forward(x, m, to, exec);
    for (size_t i = 0; i < members.size(); ++i) {
      std::vector<float> meant = x;
      round_activations(group.scheme(i), 0, kOutlierThreshold, kK, meant);
      const Tensor w = values_of(members[i].weight);
      for (size_t at = 0; at < y[i].size(); ++at) {
        const float* row = meant.data() + at / kN * kK;
        const float* weights = w.data<float>().data() + at % kN * kK;
        double sum = 0, size = 0;
        for (int64_t k = 0; k < kK; ++k) {
          sum += double{row[k]} * weights[k];
          size += std::fabs(double{row[k]} * weights[k]);
        }
        ASSERT_NEAR(y[i][at], sum, 1e-5 * (size + 1e-3)) << members[i].name << " m " << m;
      }
    }
  }
}

TEST(InputReading, OneOrder) {
  for (const char* scheme : {"int4:g32", "int4:g16:asym", "int8:g32", "int3:g32", "nf4:g32",
                             "int4:g32:a8", "int8:g32:a8outlier", "int4:g32:afp8"})
    expect_products({member(scheme, 1)});
}

TEST(InputReading, RoundedToFp8) {
  for (const char* scheme : {"fp8_e4m3:afp8", "fp8_e4m3:tensor:afp8", "int4:g32:afp8", "int8:afp8"})
    expect_products({member(scheme, 0)});
}

TEST(InputReading, EveryMemberReadsInItsOwnWay) {
  expect_products({member("int4:g32", 1), member("int4:g32", 2), member("int4:g32", 0)});
  expect_products({member("int4:g32:a8", 1), member("int8:a8", 0), member("f32", 0)});
  expect_products({member("fp8_e4m3:afp8", 0), member("fp8_e4m3", 0), member("int4:g32", 3)});
  expect_products({member("int8:g32:a8outlier", 1), member("int4:g16:a8outlier", 1)});
}

TEST(InputReading, RowsDoNotDependOnTheirBatch) {
  const LinearGroup group({member("int4:g32", 1), member("int4:g32:afp8", 2)}, {});
  const std::vector<float> x = some_rows(16);
  std::vector<float> all[2] = {std::vector<float>(16 * kN), std::vector<float>(16 * kN)};
  float* to[] = {all[0].data(), all[1].data()};
  group.forward(x, 16, to, Exec{});
  std::vector<float> one[2] = {std::vector<float>(kN), std::vector<float>(kN)};
  float* to_one[] = {one[0].data(), one[1].data()};
  for (size_t r = 0; r < 16; ++r) {
    group.forward(std::span(x).subspan(r * kK, kK), 1, to_one, Exec{});
    for (size_t i = 0; i < 2; ++i)
      ASSERT_TRUE(std::equal(one[i].begin(), one[i].end(), all[i].begin() + r * kN));
  }
}

TEST(InputReading, GivesTheWeightBackWithItsOrder) {
  const LinearMember given = member("int4:g32:asym", 1);
  const LinearGroup group({given}, {});
  const Tensor meant = values_of(given.weight), back = values_of(group.source(0));
  EXPECT_TRUE(std::ranges::equal(meant.data<float>(), back.data<float>()));
  std::vector<float> row(kK);
  group.weight_row(0, 7, row);
  EXPECT_TRUE(std::ranges::equal(row, meant.data<float>().subspan(7 * kK, kK)));
}

TEST(InputReading, OrdersThatAreNoneAreRefused) {
  const auto load = [](auto change) {
    LinearMember m = member("int4:g32", 1);
    auto& q = m.weight.quantized();
    q.input_order = q.input_order->clone();
    change(q);
    test::expect_error(ErrorKind::corrupt, "order", [&] { LinearGroup({m}, {}); });
  };
  load([](QuantizedTensor& q) { q.input_order->mutable_data<int32_t>()[0] = -1; });
  load([](QuantizedTensor& q) { q.input_order->mutable_data<int32_t>()[0] = kK; });
  load([](QuantizedTensor& q) {
    const auto order = q.input_order->mutable_data<int32_t>();
    order[0] = order[1];
  });
  load([](QuantizedTensor& q) { q.input_order = Tensor(DType::i32, Shape{kK - 1}); });
  load([](QuantizedTensor& q) { q.input_order = Tensor(DType::i64, Shape{kK}); });
}

TEST(InputReading, Fp8RowsThatAreNotFiniteAreNoNumbers) {
  std::vector<float> row = {1, 2, NAN, 4};
  round_row_fp8(row);
  for (const float v : row) EXPECT_TRUE(std::isnan(v));
  row = {1, INFINITY, 2, 3};
  round_row_fp8(row);
  for (const float v : row) EXPECT_TRUE(std::isnan(v));
  row = {0, 0, -0.0F, 0};
  round_row_fp8(row);
  for (const float v : row) EXPECT_EQ(v, 0);
  row = {448, 1.0F, 1.0625F, -17.5F};  // a scale of 1: codes of three bits behind the point
  round_row_fp8(row);
  EXPECT_EQ(row, (std::vector<float>{448, 1, 1, -18}));
}

}  // namespace
}  // namespace nibble
