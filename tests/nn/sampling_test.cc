// Sampling: filters leave what they should, and the drawn tokens follow the distribution.
#include "nibble/nn/sampling.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
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

// Token i by the words of the definitions, each filter on its own: what comes before a token is
// every token that is likelier, or as likely with a lower id.
class Definition {
 public:
  Definition(std::vector<double> logits, const std::vector<int32_t>& history,
             const SamplingOptions& o)
      : logits_(std::move(logits)), o_(o) {
    for (const int32_t id : std::set<int32_t>(history.begin(), history.end())) {
      double& l = logits_[static_cast<size_t>(id)];
      l = static_cast<float>(l > 0 ? l / o.repetition_penalty : l * o.repetition_penalty);
    }
    for (const double l : logits_) highest_ = std::max(highest_, l);
  }

  std::vector<double> weights() const {
    std::vector<double> out;
    for (size_t i = 0; i < logits_.size(); ++i) out.push_back(kept(i) ? weight(i) : 0);
    return out;
  }

 private:
  double weight(size_t i) const { return std::exp((logits_[i] - highest_) / o_.temperature); }
  bool before(size_t i, size_t j) const {
    return weight(i) > weight(j) || (weight(i) == weight(j) && i < j);
  }
  int64_t rank(size_t i) const {
    int64_t n = 0;
    for (size_t j = 0; j < logits_.size(); ++j) n += before(j, i) ? 1 : 0;
    return n;
  }
  bool in_top_k(size_t i) const { return o_.top_k == 0 || rank(i) < o_.top_k; }
  bool kept(size_t i) const {
    double before_it = 0, all = 0;
    std::vector<double> likelier;
    for (size_t j = 0; j < logits_.size(); ++j) {
      if (!in_top_k(j)) continue;
      all += weight(j);
      if (before(j, i)) likelier.push_back(weight(j));
    }
    std::sort(likelier.begin(), likelier.end(), std::greater<>());
    for (const double w : likelier) before_it += w;
    const bool in_top_p = rank(i) == 0 || o_.top_p >= 1 || before_it < o_.top_p * all * (1 - 1e-12);
    return in_top_k(i) && in_top_p && (rank(i) == 0 || weight(i) >= o_.min_p);
  }

  std::vector<double> logits_;
  SamplingOptions o_;
  double highest_ = -1e300;
};

RC_GTEST_PROP(Sampling, DrawsWhatTheDefinitionsLeave,
              (const std::vector<int8_t>& draws, const std::vector<uint8_t>& seen)) {
  RC_PRE(!draws.empty());
  std::vector<float> logits;
  for (const int8_t d : draws) logits.push_back(static_cast<float>(d) / 16);
  std::vector<int32_t> history;
  for (const uint8_t s : seen) history.push_back(static_cast<int32_t>(s % logits.size()));
  const auto one_of = [](std::initializer_list<double> values) {
    return *rc::gen::elementOf(std::vector<double>(values));
  };
  SamplingOptions o;
  o.temperature = one_of({0.3, 1, 2.5});
  o.top_k = static_cast<int64_t>(one_of({0, 1, 2, 5, 1000}));
  o.top_p = one_of({1, 0.9, 0.55, 0.1});
  o.min_p = one_of({0, 0.07, 0.4, 1});
  o.repetition_penalty = one_of({1, 1.3, 0.8});
  const std::vector<double> weights =
      Definition({logits.begin(), logits.end()}, history, o).weights();
  for (uint64_t seed = 0; seed < 20; ++seed) {
    PyRandom mine(seed), theirs(seed);
    RC_ASSERT(sample(logits, history, o, mine) == static_cast<int32_t>(theirs.choice(weights)));
  }
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
