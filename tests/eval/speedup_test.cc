// How many times as fast, and whether it may be said.
#include "nibble/eval/speedup.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "nibble/core/random.h"

namespace nibble {
namespace {

std::vector<double> counted_to(int n) {
  std::vector<double> out(static_cast<size_t>(n));
  std::iota(out.begin(), out.end(), 1);
  return out;
}

// The tables of the sign test: of n values in order, these two hold the median with 95 %.
TEST(MedianInterval, IsThatOfTheSignTest) {
  struct Row {
    int n;
    double low, high;
  };
  for (const Row& r : {Row{6, 1, 6}, Row{8, 1, 8}, Row{9, 2, 8}, Row{11, 2, 10}, Row{12, 3, 10},
                       Row{15, 4, 12}, Row{20, 6, 15}, Row{25, 8, 18}, Row{50, 18, 33}}) {
    const auto found = median_interval(counted_to(r.n));
    ASSERT_TRUE(found) << r.n;
    EXPECT_EQ(found->low, r.low) << r.n;
    EXPECT_EQ(found->high, r.high) << r.n;
  }
}

TEST(MedianInterval, OfFiveValuesIsNone) {
  EXPECT_FALSE(median_interval(counted_to(5)));
  EXPECT_FALSE(median_interval({}));
}

TEST(MedianInterval, OfWhatIsNotFiniteIsNone) {
  std::vector<double> values = counted_to(9);
  values[4] = std::nan("");
  EXPECT_FALSE(median_interval(values));
}

// 60 values are 20 stretches of three, each with its middle one: 2, 5, 8, ..., 59.
TEST(MedianInterval, OfManyValuesIsThatOfStretches) {
  const auto found = median_interval(counted_to(60));
  ASSERT_TRUE(found);
  EXPECT_EQ(found->low, 2 + 5 * 3);
  EXPECT_EQ(found->high, 2 + 14 * 3);
}

// A machine that is twice as slow for stretches of rounds tells less than as many rounds in which
// it is that by chance; by single values this interval would be 1 to 1.
TEST(MedianInterval, IsWiderWhereNeighboursAreAlike) {
  std::vector<double> values;
  for (int i = 0; i < 1000; ++i) values.push_back(i / 100 % 5 < 2 ? 2 : 1 + 1e-6 * i);
  const auto found = median_interval(values);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->high, 2);
  EXPECT_LT(found->low, 1.001);
}

TEST(MedianInterval, TakesAsManyValuesAsRunsCanBe) {
  const auto found = median_interval(std::vector<double>(1'000'000, 3.0));
  ASSERT_TRUE(found);
  EXPECT_EQ(found->low, 3);
}

TEST(Speedup, ComparesWithinTheRounds) {
  // Every second round the machine is ten times as slow, for both.
  Latency model, base;
  for (int i = 0; i < 12; ++i) {
    const double slow = i % 2 == 0 ? 1 : 10;
    model.seconds.push_back(0.25 * slow);
    base.seconds.push_back(0.5 * slow);
  }
  const Speedup s = speedup(model, base);
  EXPECT_EQ(s.rounds, 12);
  EXPECT_DOUBLE_EQ(s.median, 2);
  ASSERT_TRUE(s.interval);
  EXPECT_DOUBLE_EQ(s.interval->low, 2);
  EXPECT_DOUBLE_EQ(s.interval->high, 2);
  EXPECT_EQ(judge_speed(s), Speed::faster);
}

TEST(Speedup, IsUnknownWhereRoundsDoNotMatch) {
  for (const Speedup& s : {speedup({}, {}), speedup(Latency{{1, 2}}, Latency{{1}})}) {
    EXPECT_EQ(s.rounds, 0);
    EXPECT_TRUE(std::isnan(s.median));
    EXPECT_FALSE(s.interval);
    EXPECT_EQ(judge_speed(s), Speed::unknown);
  }
}

TEST(Speedup, OfFiveRoundsIsNoVerdict) {
  const Speedup s = speedup(Latency{{1, 1, 1, 1, 1}}, Latency{{66, 66, 66, 66, 66}});
  EXPECT_EQ(s.median, 66);
  EXPECT_EQ(judge_speed(s), Speed::unknown);
}

Speed judged(double low, double high) {
  return judge_speed({9, (low + high) / 2, Interval{low, high}});
}

TEST(JudgeSpeed, GoesByTheWholeInterval) {
  EXPECT_EQ(judged(1.06, 1.2), Speed::faster);
  EXPECT_EQ(judged(20, 66), Speed::faster);
  EXPECT_EQ(judged(1.04, 66), Speed::unclear);
  EXPECT_EQ(judged(0.5, 0.94), Speed::slower);
  EXPECT_EQ(judged(0.5, 0.96), Speed::unclear);
  EXPECT_EQ(judged(0.96, 1.04), Speed::same);
  EXPECT_EQ(judged(0.8, 1.4), Speed::unclear);
}

// Times with a long tail, as they are on a busy machine.
double noisy_rounds(PyRandom& random, double seconds) {
  const double tail = random.random() < 0.15 ? 1 + 20 * random.random() : 1;
  return seconds * std::exp(random.gauss(0, 0.3)) * tail;
}

Speedup noisy_speedup(PyRandom& random, int rounds, double times) {
  Latency model, base;
  for (int i = 0; i < rounds; ++i) {
    model.seconds.push_back(noisy_rounds(random, 1));
    base.seconds.push_back(noisy_rounds(random, times));
  }
  return speedup(model, base);
}

// Both sides are drawn from one distribution: the interval may miss 1 in one of twenty cases, and
// no more of them may become claims.
TEST(JudgeSpeed, ClaimsNothingOfEqualsBeyondWhatItsIntervalAllows) {
  constexpr int kTrials = 4000;
  for (const int rounds : {6, 9, 12, 20, 40, 60, 100}) {
    PyRandom random(static_cast<uint64_t>(rounds));
    int missed = 0, claimed = 0;
    for (int i = 0; i < kTrials; ++i) {
      const Speedup s = noisy_speedup(random, rounds, 1);
      const Speed speed = judge_speed(s);
      missed += s.interval->low > 1 || s.interval->high < 1 ? 1 : 0;
      claimed += speed == Speed::faster || speed == Speed::slower ? 1 : 0;
    }
    EXPECT_LE(missed, kTrials / 20) << rounds;
    EXPECT_LE(claimed, missed) << rounds;
    EXPECT_GT(missed, kTrials / 200) << rounds << ": wider than it must be";
  }
}

TEST(JudgeSpeed, SeesADifferenceThroughTheNoise) {
  PyRandom random(7);
  int seen = 0, wrong = 0;
  for (int i = 0; i < 500; ++i) {
    const Speed speed = judge_speed(noisy_speedup(random, 50, 2));
    seen += speed == Speed::faster ? 1 : 0;
    wrong += speed == Speed::slower ? 1 : 0;
  }
  EXPECT_GT(seen, 450);
  EXPECT_EQ(wrong, 0);
}

}  // namespace
}  // namespace nibble
