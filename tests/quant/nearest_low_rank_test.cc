#include "nibble/quant/nearest_low_rank.h"

#include <gtest/gtest.h>

#include <cmath>

#include "nibble/core/random.h"

namespace nibble {
namespace {

std::vector<float> noise(int64_t count, uint64_t seed) {
  PyRandom random(seed);
  std::vector<float> out(static_cast<size_t>(count));
  for (float& v : out) v = static_cast<float>(random.gauss(0, 1));
  return out;
}

double rest(std::vector<float> values, const LowRank& change) {
  for (float& v : values) v = -v;
  change.add(values, 1);
  double sum = 0;
  for (const float v : values) sum += double{v} * double{v};
  return sum;
}

TEST(NearestLowRank, FindsAMatrixOfThatRank) {
  const LowRank made{Tensor::from<float>({3, 40}, noise(120, 1)),
                     Tensor::from<float>({30, 3}, noise(90, 2))};
  std::vector<float> values(30 * 40);
  made.add(values, 1);
  EXPECT_LT(rest(values, nearest_low_rank(values, 30, 40, 3)), 1e-6);
  EXPECT_GT(rest(values, nearest_low_rank(values, 30, 40, 2)), 1);
  EXPECT_LT(rest(values, nearest_low_rank(values, 30, 40, 5)), 1e-6) << "more than there is";
}

// A diagonal: what is left is the sum of the other squares, whatever the order.
TEST(NearestLowRank, LeavesTheSmallestSingularValues) {
  std::vector<float> values(12 * 20);
  double squares = 0;
  for (size_t i = 0; i < 12; ++i) {
    const auto v = static_cast<float>((i * 5) % 12 + 1);
    values[i * 20 + (i * 7) % 20] = i % 2 == 0 ? v : -v;
    squares += v <= 8 ? v * v : 0;
  }
  const LowRank found = nearest_low_rank(values, 12, 20, 4);
  EXPECT_NEAR(rest(values, found), squares, 1e-3 * squares);
}

TEST(NearestLowRank, OfNothingIsNothing) {
  const std::vector<float> values(6 * 5);
  EXPECT_EQ(rest(values, nearest_low_rank(values, 6, 5, 2)), 0);
}

// No change of that rank leaves less: moving any part of it leaves more.
TEST(NearestLowRank, IsAMinimum) {
  const std::vector<float> values = noise(24 * 16, 5);
  const LowRank found = nearest_low_rank(values, 24, 16, 4);
  const double least = rest(values, found);
  for (int64_t i = 0; i < 4 * 16; ++i) {
    for (const float by : {-0.05f, 0.05f}) {
      LowRank moved{found.a.clone(), found.b};
      moved.a.mutable_data<float>()[static_cast<size_t>(i)] += by;
      EXPECT_GT(rest(values, moved), least);
    }
  }
}

}  // namespace
}  // namespace nibble
