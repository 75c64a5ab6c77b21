#include "nibble/eval/distribution.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>

#include "nibble/core/error.h"
#include "tests/support/tutorial.h"

namespace nibble {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

TEST(Histogram, BinsAreHalfOpenAndTheLastIsClosed) {
  const std::vector<float> values = {0, 0.25f, 0.5f, 0.75f, 1};
  EXPECT_EQ(histogram(values, 0, 1, 4).counts, (std::vector<int64_t>{1, 1, 1, 2}));
}

TEST(Histogram, ValuesOutsideGoToTheOutermostBins) {
  const std::vector<float> values = {-100, 0.1f, 100, 3e38f, -3e38f};
  EXPECT_EQ(histogram(values, 0, 1, 2).counts, (std::vector<int64_t>{3, 2}));
}

TEST(Histogram, LeavesOutWhatIsNotFinite) {
  const std::vector<float> values = {kNan, kInfinity, -kInfinity, 0.5f};
  EXPECT_EQ(histogram(values, 0, 1, 1).counts, (std::vector<int64_t>{1}));
}

TEST(Histogram, WidensAnEmptyRange) {
  const std::vector<float> values = {2, 2, 2};
  const Histogram h = histogram(values, 2, 2, 3);
  EXPECT_LT(h.low, 2);
  EXPECT_GT(h.high, 2);
  EXPECT_EQ(h.counts, (std::vector<int64_t>{0, 3, 0}));
  EXPECT_LT(histogram({}, 0, 0, 1).low, 0);
}

TEST(Histogram, RefusesBoundsThatAreNone) {
  EXPECT_THROW(histogram({}, 0, 1, 0), Error);
  EXPECT_THROW(histogram({}, 1, 0, 4), Error);
  EXPECT_THROW(histogram({}, std::nan(""), 1, 4), Error);
  EXPECT_THROW(histogram({}, 0, kInfinity, 4), Error);
}

TEST(Moments, OfAKnownSet) {
  const std::vector<float> values = {2, 4, 4, 4, 5, 5, 7, 9};
  const Moments m = moments(values);
  EXPECT_EQ(m.count, 8);
  EXPECT_DOUBLE_EQ(m.mean, 5);
  EXPECT_DOUBLE_EQ(m.standard_deviation, 2);
  EXPECT_DOUBLE_EQ(m.minimum, 2);
  EXPECT_DOUBLE_EQ(m.maximum, 9);
  EXPECT_DOUBLE_EQ(m.absmax, 9);
  // Deviations -3 -1 -1 -1 0 0 2 4: fourth powers sum to 356; 356 / 8 / 2^4.
  EXPECT_DOUBLE_EQ(m.kurtosis, 356.0 / 8 / 16);
}

TEST(Moments, OfNothingAndOfAConstant) {
  EXPECT_EQ(moments({}).count, 0);
  const std::vector<float> values(1000, 0.1f);
  const Moments m = moments(values);
  EXPECT_EQ(m.standard_deviation, 0);
  EXPECT_EQ(m.kurtosis, 0);
  EXPECT_EQ(m.mean, static_cast<double>(0.1f));
}

TEST(Moments, CountsWhatIsNotFiniteApart) {
  const std::vector<float> values = {1, kNan, -3, kInfinity};
  const Moments m = moments(values);
  EXPECT_EQ(m.count, 2);
  EXPECT_EQ(m.not_finite, 2);
  EXPECT_DOUBLE_EQ(m.mean, -1);
  EXPECT_DOUBLE_EQ(m.absmax, 3);
}

TEST(Moments, DoNotOverflowWhereF32Would) {
  const std::vector<float> values = {3e38f, -3e38f, 3e38f, -3e38f};
  EXPECT_NEAR(moments(values).standard_deviation / 3e38, 1, 1e-6);
}

// 16 rows of +-1 with one value of 100 in row 5.
std::vector<float> one_spike() {
  std::vector<float> values(16 * 64);
  for (size_t i = 0; i < values.size(); ++i) values[i] = i % 2 == 0 ? 1.0f : -1.0f;
  values[5 * 64 + 7] = 100;
  return values;
}

TEST(Outliers, FindsTheSpikeAndItsChannel) {
  const OutlierStats s = find_outliers("w", one_spike(), 16, 64, 6);
  EXPECT_EQ(s.outliers, 1);
  EXPECT_DOUBLE_EQ(s.share, 1.0 / 1024);
  ASSERT_EQ(s.by_channel.size(), 16u);
  EXPECT_EQ(s.by_channel[5], 1);
  EXPECT_EQ(std::accumulate(s.by_channel.begin(), s.by_channel.end(), int64_t{0}), 1);
  EXPECT_EQ(s.by_own_channel[5], 1);
  EXPECT_DOUBLE_EQ(s.worst_channel_ratio, 100);
  EXPECT_EQ(s.worst_channel, 5);
}

TEST(Outliers, AChannelOfItsOwnSizeHidesInItsOwnDeviation) {
  // A whole row ten times larger: outliers of the tensor at k = 3, none of the row.
  std::vector<float> values(100 * 10);
  for (size_t i = 0; i < values.size(); ++i) values[i] = (i % 2 == 0 ? 1.0f : -1.0f);
  for (size_t i = 0; i < 10; ++i) values[40 * 10 + i] *= 10;
  const OutlierStats s = find_outliers("w", values, 100, 10, 3);
  EXPECT_EQ(s.outliers, 10);
  EXPECT_EQ(s.by_channel[40], 10);
  EXPECT_EQ(s.by_own_channel[40], 0);
  EXPECT_DOUBLE_EQ(s.worst_channel_ratio, 10);
}

TEST(Outliers, ConstantsAndEmptyMatricesHaveNone) {
  const std::vector<float> values(12, 0.3f);
  const OutlierStats s = find_outliers("w", values, 3, 4, 6);
  EXPECT_EQ(s.outliers, 0);
  EXPECT_DOUBLE_EQ(s.worst_channel_ratio, 1);
  EXPECT_EQ(find_outliers("w", {}, 0, 4, 6).share, 0);
  const std::vector<float> zeros(12, 0.0f);
  EXPECT_EQ(find_outliers("w", zeros, 3, 4, 6).worst_channel_ratio, 0);
}

TEST(Outliers, RefusesAShapeThatDoesNotFit) {
  const std::vector<float> values(12);
  EXPECT_THROW(find_outliers("w", values, 3, 5, 6), Error);
  EXPECT_THROW(find_outliers("w", values, -3, -4, 6), Error);
  EXPECT_THROW(find_outliers("w", values, int64_t{1} << 62, 4, 6), Error);
  EXPECT_THROW(find_outliers("w", values, 3, 4, 0), Error);
  EXPECT_THROW(find_outliers("w", values, 3, 4, std::nan("")), Error);
}

TEST(Remedies, OfAMatrixWorkedByHand) {
  // 2 bits: top code 1. Tensor scale 4: row one rounds to 0 (0.25, 0.125 -> 0), row two is exact.
  const std::vector<float> values = {1, -0.5f, 4, -4};
  const RemedyErrors r = remedy_errors("w", values, 2, 2, 2, 6);
  EXPECT_DOUBLE_EQ(r.per_tensor, (1 + 0.25) / 4);
  // Row scales 1 and 4: -0.5 is a tie and rounds to even, 0.
  EXPECT_DOUBLE_EQ(r.per_channel, 0.25 / 4);
  EXPECT_DOUBLE_EQ(r.clipped, r.per_tensor);  // nothing lies beyond six deviations
  EXPECT_EQ(r.bits, 2);
}

TEST(Remedies, ClippingPaysWhereASpikeSetsTheScale) {
  std::vector<float> values(64 * 64);
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<float>(std::sin(static_cast<double>(i))) * 0.1f;
  }
  values[1000] = 3;
  const RemedyErrors r = remedy_errors("w", values, 64, 64, 4, 6);
  // One spike of 30 times the others: per channel spoils only its own row.
  EXPECT_LT(r.per_channel, r.per_tensor / 10);
  EXPECT_LT(r.clip_threshold, 1);
  const double spike_alone = std::pow(3 - r.clip_threshold, 2) / (64 * 64);
  EXPECT_GT(r.clipped, spike_alone * 0.9);  // the error is against the original, spike included
  EXPECT_LT(r.clipped, spike_alone + 0.001);
}

TEST(Remedies, AreExactWhereNothingIsLost) {
  const std::vector<float> zeros(8, 0.0f);
  const RemedyErrors z = remedy_errors("w", zeros, 2, 4, 8, 6);
  EXPECT_EQ(z.per_tensor, 0);
  EXPECT_EQ(z.clipped, 0);
  EXPECT_EQ(z.per_channel, 0);
  std::vector<float> codes(255);
  for (size_t i = 0; i < codes.size(); ++i) codes[i] = static_cast<float>(i) - 127;
  EXPECT_EQ(remedy_errors("w", codes, 5, 51, 8, 6).per_tensor, 0);
}

TEST(Remedies, AreThoseOfTheTutorialQuantizers) {
  std::vector<float> values(24 * 40);
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<float>(std::sin(static_cast<double>(i * i)) * (i / 40 == 5 ? 4 : 1));
  }
  const Tensor w = Tensor::from<float>({24, 40}, values);
  const auto error_of = [&](const tutorial::Quantized& q) {
    const Tensor restored = tutorial::dequantize(q);
    double sum = 0;
    for (size_t i = 0; i < values.size(); ++i) {
      const double d =
          static_cast<double>(restored.data<float>()[i]) - static_cast<double>(values[i]);
      sum += d * d;
    }
    return sum / static_cast<double>(values.size());
  };
  for (int bits = 2; bits <= 8; ++bits) {
    const RemedyErrors r = remedy_errors("w", values, 24, 40, bits, 6);
    EXPECT_DOUBLE_EQ(r.per_tensor, error_of(tutorial::symmetric_per_tensor(w, bits)));
    EXPECT_DOUBLE_EQ(r.per_channel, error_of(tutorial::symmetric_per_channel(w, bits, 0)));
  }
}

TEST(Remedies, RefuseBitsThatAreNone) {
  const std::vector<float> values(4);
  EXPECT_THROW(remedy_errors("w", values, 2, 2, 1, 6), Error);
  EXPECT_THROW(remedy_errors("w", values, 2, 2, 9, 6), Error);
}

}  // namespace
}  // namespace nibble
