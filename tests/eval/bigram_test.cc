// The loss of counting pairs, worked out by hand.
#include "nibble/eval/bigram.h"

#include <gtest/gtest.h>

#include <cmath>

namespace nibble {
namespace {

// Of 0 come 1, 1, 0 and of 1 comes 0; one is added to each of two pairs.
TEST(Bigram, IsTheCountsWithOneAddedToEach) {
  const SequenceData data{{{0, 1, 0, 1}, {0, 0}}, {{0, 1, 0}, {1, 1}}};
  const double zero_one = 3.0 / 5, one_zero = 2.0 / 3, one_one = 1.0 / 3;
  EXPECT_NEAR(bigram_loss(data, 2),
              -(std::log(zero_one) + std::log(one_zero) + std::log(one_one)) / 3, 1e-12);
}

TEST(Bigram, KnowsNothingWhereNothingWasRead) {
  const SequenceData data{{}, {{0, 1, 2, 3, 4}}};
  EXPECT_NEAR(bigram_loss(data, 5), std::log(5.0), 1e-12);
}

TEST(Bigram, OfNothingHeldOutIsZero) {
  EXPECT_EQ(bigram_loss({{{0, 1}}, {}}, 2), 0);
  EXPECT_EQ(bigram_loss({{{0, 1}}, {{1}, {}}}, 2), 0) << "a token alone is predicted by nothing";
}

// Pairs are within a sequence: the end of one and the beginning of the next are none.
TEST(Bigram, PairsDoNotGoOverTheEnds) {
  const SequenceData apart{{{0}, {1}, {0}, {1}}, {{0, 1}}};
  EXPECT_NEAR(bigram_loss(apart, 2), std::log(2.0), 1e-12);
}

}  // namespace
}  // namespace nibble
