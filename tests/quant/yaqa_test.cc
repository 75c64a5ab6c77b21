// yaqa and its parts: rounding by the errors of inputs and outputs together.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "nibble/core/random.h"
#include "nibble/quant/grid_search.h"
#include "nibble/quant/method.h"
#include "nibble/quant/two_sided.h"
#include "tests/support/correlated.h"

namespace nibble {
namespace {

using test::correlated_layer;
using test::Layer;

// Blocks that end at `ends`, each the Gram matrix of correlated rows.
OutputMetric correlated_metric(uint64_t seed, const std::vector<int64_t>& ends) {
  OutputMetric out;
  for (const int64_t end : ends) {
    const int64_t n = end - out.n();
    out.blocks.push_back(
        correlated_layer(seed++, 1, n, std::max<int64_t>(1, n / 3), 2 * n).input.hessian);
    out.starts.push_back(end);
  }
  return out;
}

DampedHessian damped_hessian(const Layer& layer) {
  DampedHessian out{layer.k, layer.input.hessian};
  for (int64_t i = 0; i < layer.k; ++i) out.h[static_cast<size_t>(i * layer.k + i)] *= 1.1f;
  return out;
}

WeightResult run_yaqa(const Layer& layer, std::string_view scheme, const OutputMetric* metric,
                      int threads = 1) {
  const Tensor w = Tensor::from<float>(Shape{layer.n, layer.k}, layer.w);
  WeightResult r = method("yaqa").quantize(
      {w, parse_scheme(scheme), MethodOptions(), "w", &layer.input, threads, metric});
  validate(r.weight);
  return r;
}

double in_metric(const Layer& layer, const QuantizedTensor& q, const OutputMetric& metric) {
  return output_error(layer.w, dequantize(q).data<float>(), layer.k, layer.input.hessian, metric,
                      1);
}

// That of rtn with the better of its two divisors.
double rtn_in_metric(const Layer& layer, std::string_view scheme, const OutputMetric& metric) {
  const Tensor w = Tensor::from<float>(Shape{layer.n, layer.k}, layer.w);
  double best = -1;
  for (const bool half : {false, true}) {
    RtnOptions o;
    o.half_step_divisor = half;
    const double error = in_metric(layer, quantize_rtn(w, parse_scheme(scheme), o, "w"), metric);
    best = best < 0 ? error : std::min(best, error);
  }
  return best;
}

std::vector<int64_t> largest_first(const std::vector<float>& h, int64_t k) {
  std::vector<int64_t> order(static_cast<size_t>(k));
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int64_t i, int64_t j) {
    return h[static_cast<size_t>(i * k + i)] > h[static_cast<size_t>(j * k + j)];
  });
  return order;
}

// The definition: the weight as one row of n k columns, whose Hessian is the Kronecker product.
TEST(Yaqa, RoundingIsGptqOfTheKroneckerProduct) {
  const Layer layer = correlated_layer(5, 19, 12, 12, 40);
  const OutputMetric metric = damped(correlated_metric(3, {19}), 0.1);
  const DampedHessian h = damped_hessian(layer);
  GridMatrix m(parse_scheme("int3"), layer.n, layer.k, DType::f32, "test");
  search_grids(m, layer.w, {}, 1);

  const auto rows = largest_first(metric.blocks[0], layer.n), columns = largest_first(h.h, layer.k);
  const int64_t all = layer.n * layer.k;
  DampedHessian product{all, std::vector<float>(static_cast<size_t>(all * all))};
  GridMatrix flat(parse_scheme("int3:g12"), 1, all, DType::f32, "test");  // a group for each row
  std::vector<float> w(layer.w.size());
  const auto from = [&](int64_t i) {
    return std::pair(rows[static_cast<size_t>(i / layer.k)],
                     columns[static_cast<size_t>(i % layer.k)]);
  };
  for (int64_t i = 0; i < all; ++i) {
    const auto [r, c] = from(i);
    w[static_cast<size_t>(i)] = layer.w[static_cast<size_t>(r * layer.k + c)];
    flat.grid(0, i / layer.k) = m.grid(r, 0);
    for (int64_t j = 0; j < all; ++j) {
      const auto [s, d] = from(j);
      product.h[static_cast<size_t>(i * all + j)] =
          metric.blocks[0][static_cast<size_t>(r * layer.n + s)] *
          h.h[static_cast<size_t>(c * layer.k + d)];
    }
  }
  ASSERT_TRUE(round_with_feedback(flat, w, product, false, 1));
  ASSERT_TRUE(round_two_sided(m, layer.w, h, metric, true, 1));
  int64_t differ = 0;
  for (int64_t i = 0; i < all; ++i) {
    const auto [r, c] = from(i);
    differ += flat.levels(0)[static_cast<size_t>(i)] != m.levels(r)[static_cast<size_t>(c)] ? 1 : 0;
  }
  EXPECT_LE(differ, all / 100);  // a value at the border of two levels may fall on either side
}

TEST(Yaqa, OutputsThatCountAlikeAndAloneGiveGptqsRounding) {
  const Layer layer = correlated_layer(7, 40, 300, 200, 400);
  OutputMetric alone;
  for (int64_t end = 1; end <= layer.n; ++end) {
    alone.blocks.push_back({2.0f});
    alone.starts.push_back(end);
  }
  const DampedHessian h = damped_hessian(layer);
  GridMatrix two(parse_scheme("int4:g60"), layer.n, layer.k, DType::f16, "test");
  search_grids(two, layer.w, {}, 1);
  GridMatrix one = two;
  ASSERT_TRUE(round_two_sided(two, layer.w, h, alone, true, 2));
  ASSERT_TRUE(round_with_feedback(one, layer.w, h, true, 2));
  int64_t differ = 0;
  for (int64_t r = 0; r < layer.n; ++r)
    for (size_t c = 0; c < static_cast<size_t>(layer.k); ++c)
      differ += one.levels(r)[c] != two.levels(r)[c] ? 1 : 0;
  EXPECT_LE(differ, layer.n * layer.k / 200);
  EXPECT_NEAR(output_error(layer.w, one.values(), layer.k, h.h, alone, 1) /
                  output_error(layer.w, one.values(), layer.n, layer.k, h.h, 1),
              1, 1e-5);
}

TEST(Yaqa, ErrorIsTheQuadraticForm) {
  const Layer layer = correlated_layer(4, 14, 33, 20, 60);
  const OutputMetric metric = correlated_metric(8, {5, 14});
  std::vector<float> q = layer.w;
  PyRandom random(3);
  for (float& v : q) v += static_cast<float>(random.gauss(0, 0.1));
  double sum = 0, trace = 0;
  for (size_t b = 0; b < 2; ++b) {
    const int64_t first = metric.starts[b], n = metric.starts[b + 1] - first;
    for (int64_t i = 0; i < n; ++i) {
      trace += metric.blocks[b][static_cast<size_t>(i * n + i)];
      for (int64_t j = 0; j < n; ++j)
        for (int64_t c = 0; c < layer.k; ++c)
          for (int64_t d = 0; d < layer.k; ++d) {
            const auto at = [&](int64_t r, int64_t x) {
              const auto p = static_cast<size_t>((first + r) * layer.k + x);
              return double{layer.w[p]} - q[p];
            };
            sum += double{metric.blocks[b][static_cast<size_t>(i * n + j)]} * at(i, c) *
                   layer.input.hessian[static_cast<size_t>(c * layer.k + d)] * at(j, d);
          }
    }
  }
  for (const int threads : {1, 3})
    EXPECT_NEAR(
        output_error(layer.w, q, layer.k, layer.input.hessian, metric, threads) / (sum / trace), 1,
        1e-4);
}

TEST(Yaqa, DescentNeverRaisesTheError) {
  for (const char* scheme : {"int4:g32", "int3:g32:asym", "int4", "ternary:g32"}) {
    const Layer layer = correlated_layer(9, 40, 96, 60, 200);
    const OutputMetric metric = damped(correlated_metric(2, {24, 40}), 0.1);
    const DampedHessian h = damped_hessian(layer);
    GridMatrix m(parse_scheme(scheme), layer.n, layer.k, DType::f16, "test");
    search_grids(m, layer.w, {}, 1);
    double before = output_error(layer.w, m.values(), layer.k, h.h, metric, 1);
    const double first = before;
    for (int i = 0; i < 4; ++i) {
      descend_two_sided(m, layer.w, h, metric, 1, 0, 1);
      const double after = output_error(layer.w, m.values(), layer.k, h.h, metric, 1);
      EXPECT_LE(after, before * 1.0001) << scheme << " sweep " << i;
      before = after;
    }
    EXPECT_LT(before, 0.7 * first) << scheme;
  }
}

// It falls back to rtn where it is not better: so it must not have, and be better by far.
TEST(Yaqa, IsBetterThanGptqByTheMetric) {
  const std::string schemes[] = {"int4:g32",      "int3:g32", "int4:g32:asym", "int2:g16:asym",
                                 "int3:g32:asym", "int8",     "int4:g128",     "int4"};
  double logs = 0;
  constexpr int kCases = 80;
  PyRandom random(1);
  for (uint64_t seed = 0; seed < kCases; ++seed) {
    const int64_t k = 32 * static_cast<int64_t>(1 + random.below(4));
    const int64_t rank = 1 + static_cast<int64_t>(random.below(static_cast<uint64_t>(k)));
    const int64_t rows = 1 + static_cast<int64_t>(random.below(static_cast<uint64_t>(2 * k)));
    const int64_t n = 4 + static_cast<int64_t>(random.below(40));
    const Layer layer = correlated_layer(seed, n, k, rank, rows);
    const OutputMetric metric = correlated_metric(seed + 1000, {n / 2, n});
    const std::string& scheme = schemes[seed % std::size(schemes)];
    const WeightResult r = run_yaqa(layer, scheme, &metric);
    const WeightResult plain = run_yaqa(layer, scheme, nullptr);
    const double own = in_metric(layer, r.weight, metric);
    const double gptq = in_metric(layer, plain.weight, metric);
    EXPECT_FALSE(r.fell_back) << seed << " " << r.note;
    EXPECT_FALSE(plain.fell_back) << seed << " " << plain.note;
    EXPECT_LT(own, 0.05 * rtn_in_metric(layer, scheme, metric)) << seed << " " << scheme;
    EXPECT_LE(own, gptq) << seed << " " << scheme;
    EXPECT_NEAR(r.error, own, 1e-5 * own) << seed;
    logs += std::log(own / gptq);
  }
  EXPECT_LT(std::exp(logs / kCases), 0.1);
}

TEST(Yaqa, SameBytesForAnyNumberOfThreads) {
  const Layer layer = correlated_layer(3, 150, 600, 256, 600);
  for (const OutputMetric& metric :
       {correlated_metric(4, {150}), correlated_metric(4, {64, 128, 150})}) {
    for (const char* scheme : {"int4:g40", "int3:asym"}) {
      const QuantizedTensor one = run_yaqa(layer, scheme, &metric).weight;
      for (const int threads : {2, 3}) {
        const QuantizedTensor many = run_yaqa(layer, scheme, &metric, threads).weight;
        EXPECT_TRUE(std::ranges::equal(one.codes.data<uint8_t>(), many.codes.data<uint8_t>()));
        EXPECT_TRUE(std::ranges::equal(std::span(one.scales.raw(), one.scales.bytes()),
                                       std::span(many.scales.raw(), many.scales.bytes())));
      }
    }
  }
}

TEST(Yaqa, OutputsThatNeverMatterAreNoTrouble) {
  const Layer layer = correlated_layer(2, 16, 64, 64, 300);
  OutputMetric metric = correlated_metric(5, {16});
  for (size_t i = 0; i < 16; ++i) metric.blocks[0][3 * 16 + i] = metric.blocks[0][i * 16 + 3] = 0;
  const WeightResult r = run_yaqa(layer, "int4:g32", &metric);
  EXPECT_FALSE(r.fell_back) << r.note;
}

// A single token, or a model that is certain of each: gptq's rounding is what is left, not rtn's.
TEST(Yaqa, AMetricThatSaysNothingLeavesGptqsRounding) {
  const Layer layer = correlated_layer(2, 16, 64, 64, 300);
  const WeightResult plain = run_yaqa(layer, "int4:g32", nullptr);
  const std::pair<float, const char*> useless[] = {{0.0f, "are all 0"}, {NAN, "are not finite"}};
  for (const auto& [value, why] : useless) {
    OutputMetric metric = correlated_metric(5, {8, 16});
    for (auto& block : metric.blocks) std::ranges::fill(block, value);
    const WeightResult r = run_yaqa(layer, "int4:g32", &metric);
    EXPECT_FALSE(r.fell_back);
    EXPECT_NE(r.note.find(why), std::string::npos) << r.note;
    EXPECT_EQ(r.error, plain.error);
    EXPECT_TRUE(
        std::ranges::equal(r.weight.codes.data<uint8_t>(), plain.weight.codes.data<uint8_t>()));
  }
}

}  // namespace
}  // namespace nibble
