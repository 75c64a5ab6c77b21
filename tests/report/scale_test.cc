// Axes: where values lie, and which round numbers are written along them.
#include "nibble/report/scale.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace nibble {
namespace {

std::vector<std::string> labels(const Scale& scale, int count) {
  std::vector<std::string> out;
  for (const Tick& t : scale.ticks(count)) out.push_back(t.label);
  return out;
}
std::vector<std::string> labels(double low, double high, int count = 5) {
  return labels(Scale{low, high, 0, 1, false}, count);
}
std::vector<std::string> log_labels(double low, double high, int count = 8) {
  return labels(Scale{low, high, 0, 1, true}, count);
}
using Labels = std::vector<std::string>;

TEST(Ticks, AreRoundAndHaveTheDigitsOfTheirStep) {
  EXPECT_EQ(labels(0, 10), (Labels{"0", "2", "4", "6", "8", "10"}));
  EXPECT_EQ(labels(0, 1), (Labels{"0.0", "0.2", "0.4", "0.6", "0.8", "1.0"}));
  EXPECT_EQ(labels(-3, 7), (Labels{"-2", "0", "2", "4", "6"}));
  EXPECT_EQ(labels(1.8, 3.4, 4), (Labels{"2.0", "2.5", "3.0"}));
  EXPECT_EQ(labels(0.125, 0.15), (Labels{"0.125", "0.130", "0.135", "0.140", "0.145", "0.150"}));
  EXPECT_EQ(labels(0, 12'000),
            (Labels{"0", "2,000", "4,000", "6,000", "8,000", "10,000", "12,000"}));
  EXPECT_EQ(labels(0, 2e7, 4), (Labels{"0", "5.00e6", "1.00e7", "1.50e7", "2.00e7"}));
  EXPECT_EQ(labels(2e-5, 6e-5, 2), (Labels{"2.00e-5", "4.00e-5", "6.00e-5"}));
}

// A tick at 0 that rounding makes -0 or 1e-17 is 0.
TEST(Ticks, HaveAPlainZero) {
  EXPECT_EQ(labels(-0.3, 0.3, 6), (Labels{"-0.3", "-0.2", "-0.1", "0.0", "0.1", "0.2", "0.3"}));
}

// The nearest of 1, 2, 5 and 10 times a power of ten, by the steps' ratios: 1.5, 3.5 and 7.5 part
// them.
TEST(Ticks, StepsAreOneTwoOrFive) {
  const auto step = [](double range) {
    const auto ticks = Scale{0, range, 0, 1, false}.ticks(10);
    return ticks.at(1).value - ticks.at(0).value;
  };
  EXPECT_DOUBLE_EQ(step(14.9), 1);
  EXPECT_DOUBLE_EQ(step(15.1), 2);
  EXPECT_DOUBLE_EQ(step(34.9), 2);
  EXPECT_DOUBLE_EQ(step(35.1), 5);
  EXPECT_DOUBLE_EQ(step(74.9), 5);
  EXPECT_DOUBLE_EQ(step(75.1), 10);
}

TEST(Ticks, LieWithinTheScaleEndsIncluded) {
  const auto ticks = Scale{0.3, 0.9, 100, 400, false}.ticks(3);
  ASSERT_EQ(ticks.size(), 3u);
  EXPECT_DOUBLE_EQ(ticks[0].value, 0.4);
  EXPECT_DOUBLE_EQ(ticks[2].value, 0.8);
  const auto ends = Scale{0.1, 0.3, 0, 1, false}.ticks(2);
  ASSERT_EQ(ends.size(), 3u) << "0.1 x 3 is not 0.3 in binary, but lies on the scale";
  EXPECT_DOUBLE_EQ(ends[2].value, 0.3);
}

TEST(LogTicks, ArePowersOfTenAndBetweenThemWhereThereAreFew) {
  EXPECT_EQ(log_labels(1, 1000), (Labels{"1", "10", "100", "1,000"}));
  EXPECT_EQ(log_labels(1, 100), (Labels{"1", "2", "5", "10", "20", "50", "100"}));
  EXPECT_EQ(log_labels(0.01, 1), (Labels{"0.01", "0.02", "0.05", "0.1", "0.2", "0.5", "1"}));
  EXPECT_EQ(log_labels(0.3, 30), (Labels{"1", "10"}))
      << "half a decade more is three to go through";
  EXPECT_EQ(log_labels(1e-5, 1e-2), (Labels{"1e-5", "0.0001", "0.001", "0.01"}));
  EXPECT_EQ(log_labels(1e5, 1e8), (Labels{"100,000", "1e6", "1e7", "1e8"}));
}

TEST(LogTicks, LeaveOutPowersWhereThereAreMany) {
  EXPECT_EQ(log_labels(1e-8, 1e2, 5), (Labels{"1e-8", "1e-6", "0.0001", "0.01", "1", "100"}));
  EXPECT_EQ(log_labels(1e-9, 1e3, 3), (Labels{"1e-9", "1e-5", "0.1", "1,000"}));
}

TEST(ScalePlace, KeepsToItsEndsInEitherDirection) {
  const Scale down{2, 4, 290, 30, false};
  EXPECT_DOUBLE_EQ(down.place(2), 290);
  EXPECT_DOUBLE_EQ(down.place(3.5), 95);
  EXPECT_DOUBLE_EQ(down.place(-7), 290);
  EXPECT_DOUBLE_EQ(down.place(9), 30);
  const Scale log{1, 16, 0, 40, true};
  EXPECT_DOUBLE_EQ(log.place(2), 10);
  EXPECT_DOUBLE_EQ(log.place(8), 30);
  for (const double bad : {std::nan(""), std::numeric_limits<double>::infinity(), 0.0, -3.0})
    EXPECT_DOUBLE_EQ(log.place(bad), 0) << bad;
  EXPECT_DOUBLE_EQ((Scale{3, 3, 10, 20, false}.place(3)), 10) << "a scale of no extent";
}

void expect_scale(const Scale& s, double low, double high) {
  EXPECT_NEAR(s.low, low, 1e-9 * std::max(1.0, std::abs(low)));
  EXPECT_NEAR(s.high, high, 1e-9 * std::max(1.0, std::abs(high)));
}

TEST(ScaleOver, WidensToWholeSteps) {
  expect_scale(scale_over({1.93, 3.31}, 0, 1, false, false), 1.8, 3.4);
  expect_scale(scale_over({-3.2, 7.7}, 0, 1, false, false), -4, 8);
  expect_scale(scale_over({3, 4}, 0, 1, false, true), 0, 4);
  expect_scale(scale_over({-3, -4}, 0, 1, false, true), -4, 0);
  expect_scale(scale_over({0.2, 0.4, 0.6}, 0, 1, false, false), 0.2, 0.6);
}

TEST(ScaleOver, OfOneValueHasRoomAroundIt) {
  expect_scale(scale_over({5, 5}, 0, 1, false, false), 4.4, 5.6);
  expect_scale(scale_over({0}, 0, 1, false, false), -1, 1);
  expect_scale(scale_over({0}, 0, 1, false, true), 0, 1);
  expect_scale(scale_over({-20}, 0, 1, false, false), -22, -18);
}

TEST(ScaleOver, OfLogarithmsGoesToHalfDecadesWithRoomToSpare) {
  const double half = std::sqrt(10.0);
  expect_scale(scale_over({3e-5, 0.4}, 0, 1, true, false), 1e-5, 1);
  expect_scale(scale_over({1e-3, 1}, 0, 1, true, false), 1e-3 / half, half);
  expect_scale(scale_over({4, 20}, 0, 1, true, false), half, 100 / half);
}

TEST(ScaleOver, LeavesOutWhatHasNoPlace) {
  const double infinity = std::numeric_limits<double>::infinity();
  expect_scale(scale_over({std::nan(""), 0.2, infinity, 0.6, -1e200}, 0, 1, false, false), 0.2,
               0.6);
  expect_scale(scale_over({0, -4, 4, 20}, 0, 1, true, true), std::sqrt(10.0), std::sqrt(1000.0));
  expect_scale(scale_over({infinity}, 0, 1, false, false), 0, 1);
  expect_scale(scale_over({0, -1}, 0, 1, true, false), 0.1, 1);
}

}  // namespace
}  // namespace nibble
