// Sampling: filters leave what they should, and the drawn tokens follow the distribution.
#include "nibble/nn/sampling.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <set>

#include "nibble/core/error.h"

namespace nibble {
namespace {

// Probabilities 0.5, 0.25, 0.125, 0.0625, 0.0625, in another order.
const std::vector<float> kLogits = {std::log(0.125f), std::log(0.5f), std::log(0.0625f),
                                    std::log(0.25f), std::log(0.0625f)};

std::array<int, 5> draw(const SamplingOptions& options, int times = 4000) {
  PyRandom random(1);
  std::array<int, 5> counts{};
  for (int i = 0; i < times; ++i)
    ++counts[static_cast<size_t>(sample(kLogits, {}, options, random))];
  return counts;
}

std::set<size_t> possible(const SamplingOptions& options) {
  std::set<size_t> out;
  const auto counts = draw(options);
  for (size_t i = 0; i < counts.size(); ++i) {
    if (counts[i] > 0) out.insert(i);
  }
  return out;
}

TEST(Sampling, FollowsTheDistribution) {
  const auto counts = draw({});
  EXPECT_NEAR(counts[1], 2000, 130);
  EXPECT_NEAR(counts[3], 1000, 110);
  EXPECT_NEAR(counts[0], 500, 90);
}

TEST(Sampling, TemperatureZeroTakesTheLikeliest) {
  EXPECT_EQ(possible({.temperature = 0}), (std::set<size_t>{1}));
}

TEST(Sampling, FiltersLeaveWhatTheyShould) {
  EXPECT_EQ(possible({.top_k = 2}), (std::set<size_t>{1, 3}));
  EXPECT_EQ(possible({.top_p = 0.5}), (std::set<size_t>{1}));
  EXPECT_EQ(possible({.top_p = 0.6}), (std::set<size_t>{1, 3}));
  EXPECT_EQ(possible({.min_p = 0.2}), (std::set<size_t>{0, 1, 3}));
  EXPECT_EQ(possible({.top_k = 3, .min_p = 0.4}), (std::set<size_t>{1, 3}));
  EXPECT_EQ(possible({}).size(), 5u);
}

TEST(Sampling, PenaltyMovesBothSignsDown) {
  PyRandom random(1);
  const std::vector<float> logits = {2.0f, 1.9f, -1.0f};
  const std::vector<int32_t> seen = {0, 0, 2};
  EXPECT_EQ(sample(logits, seen, {.temperature = 0, .repetition_penalty = 1.2}, random), 1);
  const std::vector<float> negative = {-1.0f, -1.1f};
  EXPECT_EQ(sample(negative, std::vector<int32_t>{0}, {.temperature = 0, .repetition_penalty = 1.2},
                   random),
            1);
}

TEST(Sampling, RefusesWhatIsOutOfRange) {
  EXPECT_NO_THROW(validate(SamplingOptions{}));
  EXPECT_THROW(validate(SamplingOptions{.temperature = -1}), Error);
  EXPECT_THROW(validate(SamplingOptions{.temperature = NAN}), Error);
  EXPECT_THROW(validate(SamplingOptions{.top_p = 0}), Error);
  EXPECT_THROW(validate(SamplingOptions{.min_p = 1.5}), Error);
  EXPECT_THROW(validate(SamplingOptions{.repetition_penalty = 0}), Error);
}

}  // namespace
}  // namespace nibble
