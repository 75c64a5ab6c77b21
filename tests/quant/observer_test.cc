// Which range an observer chooses.
#include "tests/quant/observer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "nibble/core/error.h"
#include "nibble/core/random.h"

namespace nibble {
namespace {

std::vector<float> normal_values(size_t count, uint64_t seed) {
  PyRandom random(seed);
  std::vector<float> out(count);
  for (float& v : out) v = static_cast<float>(random.gauss(0, 1));
  return out;
}

double error_at(const std::vector<float>& x, double threshold, int bits) {
  const double last = (1 << (bits - 1)) - 1, step = threshold / last;
  double sum = 0;
  for (const float v : x) {
    const double u = std::clamp(std::nearbyint(v / step), -last, last);
    sum += (v - u * step) * (v - u * step);
  }
  return sum;
}

TEST(Observer, MinMaxAndMovingAverage) {
  const auto all = min_max_observer();
  const auto mean = moving_average_observer(0.5);
  for (const std::vector<float>& batch :
       {std::vector<float>{-1, 3}, {2, 7, NAN}, {-5, -4, std::numeric_limits<float>::infinity()}}) {
    all->add(batch);
    mean->add(batch);
  }
  EXPECT_EQ(all->range().low, -5);
  EXPECT_EQ(all->range().high, 7);
  EXPECT_FLOAT_EQ(mean->range().low, -2.75f);  // (-1 + 0) / 2, then (-0.5 - 5) / 2
  EXPECT_FLOAT_EQ(mean->range().high, 2.5f);   // (3 + 7) / 2, then (5 + 0) / 2
  EXPECT_EQ(min_max_observer()->range().absmax(), 0);
  EXPECT_THROW(moving_average_observer(1), Error);
}

TEST(Observer, PercentileCutsOffTheShare) {
  HistogramOptions o;
  o.share = 0.99;
  const auto observer = histogram_observer(o);
  std::vector<float> x;
  for (int i = 1; i <= 10000; ++i) x.push_back(static_cast<float>(i % 2 == 0 ? i : -i));
  for (size_t at = 0; at < x.size(); at += 100)  // the range grows batch by batch
    observer->add(std::span(x).subspan(at, 100));
  EXPECT_NEAR(observer->range().high, 9900, 20);
  EXPECT_NEAR(observer->range().low, -9900, 20);
}

// Zeros that came before anything else count, and what is no number does not.
TEST(Observer, PercentileCountsZerosAndNoNan) {
  const auto high_of = [](size_t zeros, size_t nans, double share) {
    HistogramOptions o;
    o.share = share;
    const auto observer = histogram_observer(o);
    std::vector<float> batch(zeros, 0.0f);
    batch.resize(zeros + nans, NAN);
    observer->add(batch);
    EXPECT_EQ(observer->range().absmax(), 0);
    observer->add(std::vector<float>{10});
    return observer->range().high;
  };
  EXPECT_EQ(high_of(99, 0, 0.99), 10.0f / 2048) << "99 of 100 lie in the first bin";
  EXPECT_EQ(high_of(98, 0, 0.99), 10);
  EXPECT_EQ(high_of(1, 99, 0.6), 10) << "one zero of two values";
}

TEST(Observer, LeastSquaredErrorIsFoundAndClipsAnOutlier) {
  for (const int bits : {3, 4, 8}) {
    std::vector<float> x = normal_values(20000, 5);
    x[7] = 40;
    HistogramOptions o;
    o.rule = HistogramRule::mse;
    o.bits = bits;
    const auto observer = histogram_observer(o);
    observer->add(x);
    const double chosen = observer->range().absmax();
    double least = INFINITY;
    for (double t = 0.5; t <= 40; t *= 1.01) least = std::min(least, error_at(x, t, bits));
    EXPECT_LT(error_at(x, chosen, bits), 1.05 * least) << bits;
    if (bits < 8) {
      EXPECT_LT(chosen, 12) << bits;
    }
  }
}

TEST(Observer, DivergenceKeepsABoundedDistributionAndClipsALongTail) {
  HistogramOptions o;
  o.rule = HistogramRule::kl;
  PyRandom random(3);
  std::vector<float> even(50000), tail = normal_values(50000, 4);
  for (float& v : even) v = static_cast<float>(2 * random.random() - 1);
  for (size_t i = 0; i < 25; ++i) tail[i * 100] = static_cast<float>(20 + i);
  const auto of_even = histogram_observer(o), of_tail = histogram_observer(o);
  of_even->add(even);
  of_tail->add(tail);
  EXPECT_GT(of_even->range().absmax(), 0.9f);
  EXPECT_LT(of_tail->range().absmax(), 20);
  EXPECT_GT(of_tail->range().absmax(), 2.5f);
}

TEST(Observer, RefusesWhatNoHistogramCanBe) {
  HistogramOptions o;
  o.share = 0;
  EXPECT_THROW(histogram_observer(o), Error);
  o = {};
  o.bits = 9;
  EXPECT_THROW(histogram_observer(o), Error);
  o = {};
  o.bins = 255;
  EXPECT_THROW(histogram_observer(o), Error);
}

}  // namespace
}  // namespace nibble
