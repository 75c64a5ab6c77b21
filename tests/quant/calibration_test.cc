// Calibration statistics, weighted scale search, corrected weights.
#include "nibble/quant/calibration.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "nibble/quant/correction.h"
#include "nibble/quant/dense.h"
#include "nibble/quant/grid_search.h"
#include "nibble/quant/method.h"
#include "nibble/quant/weight_error.h"
#include "tests/support/correlated.h"

namespace nibble {
namespace {

using test::correlated_layer;
using test::Layer;

TEST(Calibration, SumsAreThoseOfTheDefinition) {
  const Layer layer = correlated_layer(1, 1, 37, 37, 700);
  for (int64_t i = 0; i < 37; ++i) {
    for (int64_t j = 0; j < 37; ++j) {
      double sum = 0;
      for (int64_t r = 0; r < 700; ++r)
        sum += double{layer.x[static_cast<size_t>(r * 37 + i)]} *
               layer.x[static_cast<size_t>(r * 37 + j)];
      const double h = layer.input.hessian[static_cast<size_t>(i * 37 + j)];
      EXPECT_NEAR(h, sum / 700, 1e-4 * (1 + std::fabs(sum / 700)));
    }
    EXPECT_NEAR(layer.input.mean_square[static_cast<size_t>(i)],
                layer.input.hessian[static_cast<size_t>(i * 37 + i)], 1e-3);
  }
}

TEST(Calibration, SameBytesForAnyThreadsAndAnyCutOfTheRows) {
  const Layer layer = correlated_layer(1, 1, 300, 20, 1300);
  for (const int threads : {1, 2, 5}) {
    StatisticsCollector collector(300, {true, false, 0});
    for (int64_t at = 0; at < 1300;) {
      const int64_t m = std::min<int64_t>(1 + 97 * threads, 1300 - at);
      collector.add(
          {std::span(layer.x).subspan(static_cast<size_t>(at * 300), static_cast<size_t>(m * 300)),
           {},
           {}},
          m, threads);
      at += m;
    }
    EXPECT_EQ(collector.finish(threads).hessian, layer.input.hessian) << threads;
  }
}

TEST(Calibration, RowsThatAreNotFiniteAreLeftOutAndCounted) {
  StatisticsCollector collector(2, {true, false, 0});
  const float inf = std::numeric_limits<float>::infinity();
  const std::vector<float> x = {1, 2, inf, 0, 3, -4, 0, NAN};
  collector.add({x, {}, {}}, 4, 1);
  const InputStatistics s = collector.finish(1);
  EXPECT_EQ(s.rows, 2);
  EXPECT_EQ(s.refused, 2);
  EXPECT_EQ(s.hessian, (std::vector<float>{5, -5, -5, 10}));
  EXPECT_EQ(s.absmax, (std::vector<float>{3, 4}));
  EXPECT_NE(coverage_note(s).find("2 tokens gave inputs that are not finite"), std::string::npos);
  InputStatistics few = s;
  few.rows = 1;
  few.mean_square[1] = 0;
  EXPECT_NE(coverage_note(few).find("fewer than its 2 inputs"), std::string::npos);
  EXPECT_NE(coverage_note(few).find("1 of 2 inputs was never active"), std::string::npos);
}

TEST(Dense, CholeskyGivesTheMatrixBack) {
  const Layer layer = correlated_layer(6, 1, 300, 300, 900);
  std::vector<float> l = layer.input.hessian;
  for (size_t i = 0; i < 300; ++i) l[i * 300 + i] += 10;
  const std::vector<float> a = l;
  ASSERT_TRUE(cholesky(l, 300, 2));
  for (size_t i = 0; i < 300; i += 7) {
    for (size_t j = 0; j <= i; j += 5) {
      double sum = 0;
      for (size_t p = 0; p <= j; ++p) sum += double{l[i * 300 + p]} * l[j * 300 + p];
      EXPECT_NEAR(sum, a[i * 300 + j], 2e-3 * (1 + std::fabs(a[i * 300 + j])));
    }
  }
  std::vector<float> b(300 * 70, 1.0f), indefinite = {1, 2, 2, 1};
  cholesky_solve(l, 300, b.data(), 70, 2);
  for (size_t i = 0; i < 300; i += 13) {
    double back = 0;
    for (size_t j = 0; j < 300; ++j) back += double{a[i * 300 + j]} * b[300 * 69 + j];
    EXPECT_NEAR(back, 1, 1e-2);
  }
  EXPECT_FALSE(cholesky(indefinite, 2, 1));
}

TEST(GridSearch, IsNeverWorseThanTheBetterRtnInItsOwnMeasure) {
  for (const char* scheme : {"int4:g32", "int3:g32", "int2:g16", "int4:g32:asym", "int2:g16:asym",
                             "int8", "int4:tensor"}) {  // rtn's ternary is the optimum itself
    for (uint64_t seed = 0; seed < 10; ++seed) {
      const Layer layer = correlated_layer(seed, 6, 96, 96, 200);
      const Tensor w = Tensor::from<float>(Shape{6, 96}, layer.w);
      const MethodOptions options;
      const WeightTask task{w, parse_scheme(scheme), options, "w", nullptr, 1};
      GridMatrix m(task.scheme, 6, 96, DType::f16, "test");
      search_grids(m, layer.w, {}, 1);
      const double own = error_of(task, layer.w, m.pack());
      EXPECT_LE(own, error_of(task, layer.w, better_rtn(task)) * 1.00001) << scheme << seed;
    }
  }
}

TEST(GridMatrix, PacksAndUnpacksNegativeScales) {
  GridMatrix m(parse_scheme("int3:g4"), 1, 8, DType::f16, "test");
  const std::vector<float> w = {4, 3, 2, 1, -4, -3, -2, -1};
  search_grids(m, w, {}, 1);
  EXPECT_LT(m.grid(0, 0).scale, 0);  // the fourth level is needed on the positive side
  EXPECT_GT(m.grid(0, 1).scale, 0);
  EXPECT_EQ(m.values(), w);
  const QuantizedTensor q = m.pack();
  validate(q);
  const Tensor t = dequantize(q);
  EXPECT_TRUE(std::ranges::equal(t.data<float>(), w));
  EXPECT_EQ(GridMatrix::unpack(q, "test").values(), w);
}

TEST(Imatrix, UnusableImportanceMeansUniformAndSaysSo) {  // BAD_INPUTS C7
  for (const double bad : {0.0, -1.0, std::nan(""), std::numeric_limits<double>::infinity()}) {
    InputStatistics input;
    input.k = 4;
    input.mean_square = {bad, bad, bad, bad};
    std::string note;
    EXPECT_EQ(usable_importance(input, 0.01, note), (std::vector<float>{1, 1, 1, 1})) << bad;
    EXPECT_FALSE(note.empty());
  }
  InputStatistics some;
  some.k = 4;
  some.mean_square = {0, 0, 0, 8};
  std::string note;
  EXPECT_EQ(usable_importance(some, 0.25, note), (std::vector<float>{0.25f, 0.25f, 0.25f, 4}));
  EXPECT_TRUE(note.empty());
}

TEST(Correction, MakesUpForInputsThatWereChangedLinearly) {
  const Layer layer = correlated_layer(8, 5, 24, 24, 400);
  std::vector<float> changed(layer.x.size());  // x = y B, so W' = W B^-T reaches the same outputs
  for (int64_t r = 0; r < 400; ++r)
    for (int64_t c = 0; c < 24; ++c)
      changed[static_cast<size_t>(r * 24 + c)] =
          0.8f * layer.x[static_cast<size_t>(r * 24 + c)] +
          0.1f * layer.x[static_cast<size_t>(r * 24 + (c + 1) % 24)];
  StatisticsCollector collector(24, {true, true, 0});
  collector.add({changed, layer.x, {}}, 400, 1);
  const InputStatistics input = collector.finish(1);
  const auto w = Correction(input, 1e-6, 1, 1).apply(layer.w, 5);
  double before = 0, after = 0, size = 0;
  for (int64_t r = 0; r < 400; ++r) {
    for (int64_t i = 0; i < 5; ++i) {
      double wanted = 0, plain = 0, made = 0;
      for (int64_t c = 0; c < 24; ++c) {
        const auto at = static_cast<size_t>(i * 24 + c), in = static_cast<size_t>(r * 24 + c);
        wanted += double{layer.w[at]} * layer.x[in];
        plain += double{layer.w[at]} * changed[in];
        made += double{w[at]} * changed[in];
      }
      before += (wanted - plain) * (wanted - plain);
      after += (wanted - made) * (wanted - made);
      size += wanted * wanted;
    }
  }
  EXPECT_GT(before, 0.01 * size);
  EXPECT_LT(after, 1e-5 * size);
}

}  // namespace
}  // namespace nibble
