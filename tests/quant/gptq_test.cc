// gptq, its parts, and what they do where calibration saw too little.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "nibble/quant/grid_search.h"
#include "nibble/quant/method.h"
#include "nibble/quant/second_order.h"
#include "tests/support/correlated.h"

namespace nibble {
namespace {

using test::correlated_layer;
using test::Layer;

WeightResult run(const Layer& layer, std::string_view scheme, std::string_view name,
                 const MethodOptions& options = {}, int threads = 1) {
  const Tensor w = Tensor::from<float>(Shape{layer.n, layer.k}, layer.w);
  WeightResult r =
      method(name).quantize({w, parse_scheme(scheme), options, "w", &layer.input, threads});
  validate(r.weight);
  return r;
}

// Mean squared error of an output over the calibration rows, by the sums themselves.
double error_of(const Layer& layer, const QuantizedTensor& q) {
  const Tensor values = dequantize(q);
  double sum = 0;
  for (int64_t row = 0; row < layer.n; ++row) {
    for (int64_t r = 0; r < layer.rows; ++r) {
      double y = 0;
      for (int64_t c = 0; c < layer.k; ++c) {
        const auto at = static_cast<size_t>(row * layer.k + c);
        y += (double{layer.w[at]} - values.data<float>()[at]) *
             layer.x[static_cast<size_t>(r * layer.k + c)];
      }
      sum += y * y;
    }
  }
  return sum / static_cast<double>(layer.n * layer.rows);
}

// That of rtn with the better of its two divisors.
double rtn_error_of(const Layer& layer, std::string_view scheme) {
  MethodOptions half;
  half.half_step_divisor = true;
  return std::min(error_of(layer, run(layer, scheme, "rtn").weight),
                  error_of(layer, run(layer, scheme, "rtn", half).weight));
}

DampedHessian damped(const Layer& layer, double damping) {
  DampedHessian out{layer.k, layer.input.hessian};
  for (int64_t i = 0; i < layer.k; ++i)
    out.h[static_cast<size_t>(i * layer.k + i)] *= static_cast<float>(1 + damping);
  return out;
}

// The textbook: the inverse of H by Gauss-Jordan, then column after column each weight rounded and
// its error spread over those that are left, the inverse updated (Frantar and Alistarh 2022, OBQ).
void textbook(GridMatrix& m, std::span<const float> w, const DampedHessian& h,
              const std::vector<int64_t>& order) {
  const auto k = static_cast<size_t>(h.k);
  std::vector<double> a(h.h.begin(), h.h.end()), inverse(k * k, 0.0);
  for (size_t i = 0; i < k; ++i) inverse[i * k + i] = 1;
  for (size_t i = 0; i < k; ++i) {
    const double pivot = a[i * k + i];
    for (size_t j = 0; j < k; ++j) a[i * k + j] /= pivot, inverse[i * k + j] /= pivot;
    for (size_t r = 0; r < k; ++r) {
      if (r == i) continue;
      const double factor = a[r * k + i];
      for (size_t j = 0; j < k; ++j) {
        a[r * k + j] -= factor * a[i * k + j];
        inverse[r * k + j] -= factor * inverse[i * k + j];
      }
    }
  }
  std::vector<double> v(w.begin(), w.end());
  for (const int64_t column : order) {
    const auto c = static_cast<size_t>(column);
    const double d = inverse[c * k + c];
    for (int64_t r = 0; r < m.n(); ++r) {
      double* row = v.data() + static_cast<size_t>(r) * k;
      const Grid& g = m.grid(r, column / m.group());
      const float u = nearest_level(static_cast<float>(row[c]), g.scale, g.low, g.high);
      m.levels(r)[c] = static_cast<int16_t>(u);
      const double miss = (row[c] - double{u} * g.scale) / d;
      for (size_t j = 0; j < k; ++j) row[j] -= miss * inverse[c * k + j];
    }
    const std::vector<double> line(inverse.begin() + static_cast<std::ptrdiff_t>(c * k),
                                   inverse.begin() + static_cast<std::ptrdiff_t>((c + 1) * k));
    for (size_t i = 0; i < k; ++i)
      for (size_t j = 0; j < k; ++j) inverse[i * k + j] -= line[i] * line[j] / d;
  }
}

TEST(Gptq, ErrorFeedbackIsTheTextbooksGptq) {
  for (const bool act_order : {false, true}) {
    const Layer layer = correlated_layer(5, 20, 160, 160, 640);
    const DampedHessian h = damped(layer, 0.05);
    GridMatrix fast(parse_scheme("int4:g32"), layer.n, layer.k, DType::f32, "test");
    search_grids(fast, layer.w, {}, 1);
    GridMatrix slow = fast;
    std::vector<int64_t> order(static_cast<size_t>(layer.k));
    std::iota(order.begin(), order.end(), 0);
    const auto diagonal = [&](int64_t i) { return h.h[static_cast<size_t>(i * layer.k + i)]; };
    if (act_order)
      std::stable_sort(order.begin(), order.end(),
                       [&](int64_t i, int64_t j) { return diagonal(i) > diagonal(j); });
    textbook(slow, layer.w, h, order);
    ASSERT_TRUE(round_with_feedback(fast, layer.w, h, act_order, 2));
    int64_t differ = 0;
    for (int64_t r = 0; r < layer.n; ++r)
      for (size_t c = 0; c < static_cast<size_t>(layer.k); ++c)
        differ += fast.levels(r)[c] != slow.levels(r)[c] ? 1 : 0;
    // f32 against f64: a value at the border of two levels may fall on either side.
    EXPECT_LE(differ, layer.n * layer.k / 200) << act_order;
  }
}

// A result that is not better falls back to rtn, so that "no worse" says nothing: it must not have
// fallen back, and be better by far. Its own account of both errors is held to the sums.
TEST(Gptq, IsBetterThanRtnOnCorrelatedInputs) {
  const std::string schemes[] = {"int4:g32",      "int3:g32", "int4:g32:asym", "int2:g16:asym",
                                 "int3:g32:asym", "int8",     "int4:g128",     "int4"};
  double logs = 0;
  PyRandom random(1);
  constexpr int kCases = 160;
  for (uint64_t seed = 0; seed < kCases; ++seed) {
    const int64_t k = 32 * static_cast<int64_t>(1 + random.below(6));
    const int64_t rank = 1 + static_cast<int64_t>(random.below(static_cast<uint64_t>(k)));
    const int64_t rows = 1 + static_cast<int64_t>(random.below(static_cast<uint64_t>(2 * k)));
    const Layer layer =
        correlated_layer(seed, 1 + static_cast<int64_t>(random.below(24)), k, rank, rows);
    const std::string& scheme = schemes[seed % std::size(schemes)];
    const WeightResult r = run(layer, scheme, "gptq");
    const double own = error_of(layer, r.weight), rtn = rtn_error_of(layer, scheme);
    EXPECT_FALSE(r.fell_back) << seed << " " << r.note;
    EXPECT_LT(own, 0.2 * rtn) << seed << " " << scheme;
    EXPECT_NEAR(r.error / own, 1, 0.05) << seed;
    EXPECT_NEAR(r.rtn_error / rtn, 1, 0.01) << seed;
    logs += std::log(own / rtn);
  }
  EXPECT_LT(std::exp(logs / kCases), 0.05);
}

TEST(Autoround, IsBetterThanRtnOnCorrelatedInputs) {
  MethodOptions options;
  options.steps = 100;
  for (uint64_t seed = 0; seed < 12; ++seed) {
    const char* schemes[] = {"int4:g32", "int3:g32:asym", "int4", "int2:g16"};
    const Layer layer = correlated_layer(seed, 9, 96, 10 + 10 * static_cast<int64_t>(seed), 300);
    const WeightResult r = run(layer, schemes[seed % 4], "autoround", options);
    EXPECT_LT(r.error, 0.8 * r.rtn_error) << seed;
    const QuantizedTensor many = run(layer, schemes[seed % 4], "autoround", options, 3).weight;
    EXPECT_TRUE(std::ranges::equal(r.weight.codes.data<uint8_t>(), many.codes.data<uint8_t>()));
  }
}

TEST(Hqq, HasASmallerNormOfTheErrorThanRtn) {
  for (const char* scheme : {"int4:g32", "int3:g32:asym", "int2:g16:asym", "int4:tensor"}) {
    PyRandom random(3);
    Layer layer = correlated_layer(1, 8, 64, 64, 10);
    for (float& v : layer.w) v = static_cast<float>(std::pow(random.gauss(0, 1), 3));  // outliers
    const auto norm = [&](const QuantizedTensor& q) {
      const Tensor values = dequantize(q);
      double sum = 0;
      for (size_t i = 0; i < layer.w.size(); ++i)
        sum += std::pow(std::fabs(double{layer.w[i]} - values.data<float>()[i]), 0.7);
      return sum;
    };
    EXPECT_LT(norm(run(layer, scheme, "hqq").weight), norm(run(layer, scheme, "rtn").weight))
        << scheme;
  }
}

TEST(Gptq, DescentNeverRaisesTheError) {
  for (const char* scheme : {"int4:g32", "int3:g32:asym", "int4:g128", "int4", "ternary:g32"}) {
    const Layer layer = correlated_layer(9, 24, 384, 200, 500);
    const DampedHessian h = damped(layer, 0.01);
    GridMatrix m(parse_scheme(scheme), layer.n, layer.k, DType::f16, "test");
    search_grids(m, layer.w, {}, 1);
    double before = output_error(layer.w, m.values(), layer.n, layer.k, h.h, 1);
    const double first = before;
    for (int i = 0; i < 4; ++i) {
      ASSERT_TRUE(descend(m, layer.w, h, {1, 0, true}, 1));
      const double after = output_error(layer.w, m.values(), layer.n, layer.k, h.h, 1);
      EXPECT_LE(after, before * 1.0001) << scheme << " sweep " << i;
      before = after;
    }
    EXPECT_LT(before, 0.6 * first) << scheme;
  }
}

TEST(Gptq, SweepsEndWhereTheyGainTooLittle) {
  const Layer layer = correlated_layer(9, 24, 384, 200, 500);
  const DampedHessian h = damped(layer, 0.1);
  const auto error_of = [&](const DescentOptions& options) {
    GridMatrix m(parse_scheme("int4:g32"), layer.n, layer.k, DType::f16, "test");
    search_grids(m, layer.w, {}, 1);
    EXPECT_TRUE(descend(m, layer.w, h, options, 1));
    return output_error(layer.w, m.values(), layer.n, layer.k, h.h, 1);
  };
  EXPECT_EQ(error_of({8, 1, true}), error_of({1, 0, true}));  // no sweep gains everything
  // Gains fall from sweep to sweep, so that what is left out is about what the last one gained.
  const double all = error_of({8, 0, true}), most = error_of({8, 0.1, true});
  EXPECT_GT(most, all);  // it did end earlier
  EXPECT_LT(most, 1.1 * all);
}

TEST(Gptq, OutputErrorIsTheQuadraticForm) {
  const Layer layer = correlated_layer(4, 70, 1100, 50, 60);  // several slabs and blocks of columns
  std::vector<float> q = layer.w;
  PyRandom random(3);
  for (float& v : q) v += static_cast<float>(random.gauss(0, 0.1));
  double sum = 0;
  for (size_t r = 0; r < 70; ++r) {
    for (size_t i = 0; i < 1100; ++i) {
      double product = 0;
      for (size_t j = 0; j < 1100; ++j)
        product += double{layer.input.hessian[i * 1100 + j]} *
                   (double{layer.w[r * 1100 + j]} - q[r * 1100 + j]);
      sum += (double{layer.w[r * 1100 + i]} - q[r * 1100 + i]) * product;
    }
  }
  for (const int threads : {1, 3})
    EXPECT_NEAR(output_error(layer.w, q, 70, 1100, layer.input.hessian, threads) / (sum / 70), 1,
                1e-4);
}

TEST(Gptq, SameBytesForAnyNumberOfThreads) {
  const Layer layer = correlated_layer(3, 200, 256, 256, 600);
  for (const char* scheme : {"int4:g32", "int3:asym"}) {
    const QuantizedTensor one = run(layer, scheme, "gptq").weight;
    for (const int threads : {2, 3, 7}) {
      const QuantizedTensor many = run(layer, scheme, "gptq", {}, threads).weight;
      EXPECT_TRUE(std::ranges::equal(one.codes.data<uint8_t>(), many.codes.data<uint8_t>()));
      EXPECT_TRUE(std::ranges::equal(std::span(one.scales.raw(), one.scales.bytes()),
                                     std::span(many.scales.raw(), many.scales.bytes())));
    }
  }
}

TEST(Gptq, ARepeatedTokenIsNoTrouble) {  // BAD_INPUTS C3: a Hessian of rank 1
  const Layer layer = correlated_layer(2, 16, 64, 1, 300);
  const WeightResult r = run(layer, "int4:g32", "gptq");
  EXPECT_FALSE(r.fell_back) << r.note;
  // One direction counts: nearly all of the error can be moved out of it.
  EXPECT_LT(error_of(layer, r.weight), 0.01 * rtn_error_of(layer, "int4:g32"));
}

// Outlier channels: the damping of the others must not depend on them.
TEST(Gptq, GroupsOfLargerInputsAndSmallerWeightsGetTheSameCodes) {
  const Layer layer = correlated_layer(6, 48, 128, 128, 300);
  Layer scaled = layer;
  for (int64_t c = 32; c < 64; ++c) {
    for (int64_t r = 0; r < layer.n; ++r) scaled.w[static_cast<size_t>(r * layer.k + c)] /= 16;
    for (int64_t r = 0; r < layer.rows; ++r) scaled.x[static_cast<size_t>(r * layer.k + c)] *= 16;
  }
  StatisticsCollector collector(layer.k, {true, false, 0});
  collector.add({scaled.x, {}, {}}, layer.rows, 1);
  scaled.input = collector.finish(1);
  MethodOptions options;
  options.act_order = false;  // the order goes by the size of the inputs
  const WeightResult a = run(layer, "int4:g32", "gptq", options);
  const WeightResult b = run(scaled, "int4:g32", "gptq", options);
  EXPECT_FALSE(a.fell_back);
  EXPECT_TRUE(std::ranges::equal(a.weight.codes.data<uint8_t>(), b.weight.codes.data<uint8_t>()));
}

TEST(Gptq, DampingEscalatesAndSaysSo) {  // C4
  const Layer layer = correlated_layer(2, 16, 64, 3, 300);
  MethodOptions options;
  options.damping = 0;
  const WeightResult r = run(layer, "int4:g32", "gptq", options);
  EXPECT_GT(r.damping, 0);
  EXPECT_NE(r.note.find("damping"), std::string::npos) << r.note;
  EXPECT_FALSE(r.fell_back);
}

TEST(Gptq, ADampingThatIsNoNumberEnds) {
  MethodOptions options;
  options.damping = std::numeric_limits<double>::quiet_NaN();
  EXPECT_TRUE(run(correlated_layer(2, 16, 64, 64, 300), "int4:g32", "gptq", options).fell_back);
}

TEST(Gptq, InputsThatAreNotFiniteFallBackToRtn) {  // C5
  Layer layer = correlated_layer(2, 16, 64, 64, 300);
  layer.input.hessian[7] = std::numeric_limits<float>::quiet_NaN();
  const WeightResult r = run(layer, "int4:g32", "gptq");
  EXPECT_TRUE(r.fell_back);
  EXPECT_NE(r.note.find("not finite"), std::string::npos) << r.note;
}

TEST(Gptq, ChannelsThatWereNeverActiveKeepTheirWeights) {  // C6
  Layer layer = correlated_layer(4, 8, 64, 64, 300);
  for (int64_t r = 0; r < layer.rows; ++r)
    for (const int64_t dead : {3, 40}) layer.x[static_cast<size_t>(r * 64 + dead)] = 0;
  StatisticsCollector collector(64, {true, false, 0});
  collector.add({layer.x, {}, {}}, layer.rows, 1);
  layer.input = collector.finish(1);
  EXPECT_EQ(layer.input.dead_channels(), 2);
  const WeightResult r = run(layer, "int8:g32", "gptq");
  const Tensor values = dequantize(r.weight);
  for (int64_t row = 0; row < 8; ++row)
    for (const int64_t dead : {3, 40}) {
      const auto at = static_cast<size_t>(row * 64 + dead);
      EXPECT_NEAR(values.data<float>()[at], layer.w[at], 0.03) << row;
    }
}

TEST(Gptq, GroupsOfNothingButZerosStayZero) {  // Q2
  Layer layer = correlated_layer(4, 4, 64, 64, 300);
  std::fill(layer.w.begin(), layer.w.begin() + 96, 0.0f);
  for (const char* name : {"gptq", "imatrix"}) {
    const Tensor values = dequantize(run(layer, "int4:g32", name).weight);
    const auto data = values.data<float>();
    EXPECT_TRUE(std::all_of(data.begin(), data.end(), [](float v) { return std::isfinite(v); }));
    EXPECT_TRUE(std::all_of(data.begin(), data.begin() + 32, [](float v) { return v == 0; }));
  }
}

}  // namespace
}  // namespace nibble
