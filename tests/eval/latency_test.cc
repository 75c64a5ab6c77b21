#include "nibble/eval/latency.h"

#include <gtest/gtest.h>

#include <cmath>

namespace nibble {
namespace {

TEST(Latency, HasTheMiddleOfItsTimes) {
  const Latency l{{5, 1, 4, 2, 8}};
  EXPECT_EQ(l.runs(), 5);
  EXPECT_DOUBLE_EQ(l.median(), 4);
  EXPECT_DOUBLE_EQ(l.lower_quartile(), 2);
  EXPECT_DOUBLE_EQ(l.upper_quartile(), 5);
  EXPECT_DOUBLE_EQ(l.minimum(), 1);
  EXPECT_DOUBLE_EQ(l.maximum(), 8);
  EXPECT_DOUBLE_EQ(l.mean(), 4);
  EXPECT_DOUBLE_EQ(l.standard_deviation(), std::sqrt(30.0 / 4));
  EXPECT_DOUBLE_EQ(l.spread(), 0.75);
  EXPECT_DOUBLE_EQ(rate(12, l), 3);
}

TEST(Latency, LiesBetweenTwoTimesInProportion) {
  const Latency l{{4, 1, 3, 2}};
  EXPECT_DOUBLE_EQ(l.median(), 2.5);
  EXPECT_DOUBLE_EQ(l.lower_quartile(), 1.75);
  EXPECT_DOUBLE_EQ(l.upper_quartile(), 3.25);
  EXPECT_DOUBLE_EQ(l.quantile(0.9), 3.7);
}

TEST(Latency, OfOneTimeIsThatTime) {
  const Latency l{{7}};
  EXPECT_EQ(l.median(), 7);
  EXPECT_EQ(l.lower_quartile(), 7);
  EXPECT_EQ(l.spread(), 0);
  EXPECT_EQ(l.standard_deviation(), 0);
}

TEST(Latency, OfNothingIsNothing) {
  const Latency l;
  EXPECT_EQ(l.runs(), 0);
  EXPECT_EQ(l.median(), 0);
  EXPECT_EQ(l.mean(), 0);
  EXPECT_EQ(l.spread(), 0);
  EXPECT_EQ(rate(12, l), 0);
}

TEST(Latency, OfWhatIsNotFiniteIsUnknown) {
  EXPECT_TRUE(std::isnan(Latency{{1, std::nan(""), 2}}.median()));
  EXPECT_TRUE(std::isnan(Latency{{1, HUGE_VAL}}.minimum()));
  EXPECT_EQ(rate(1, Latency{{std::nan("")}}), 0);
}

}  // namespace
}  // namespace nibble
