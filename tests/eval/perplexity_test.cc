// Loss, divergence and their standard errors on models whose answers are known.
#include "nibble/eval/perplexity.h"

#include <gtest/gtest.h>

#include <cmath>

#include "nibble/core/error.h"
#include "nibble/core/random.h"
#include "tests/support/expect_error.h"

namespace nibble {
namespace {

constexpr int64_t kVocab = 7;

// The same logits at every position.
SequenceLogits constant(std::vector<float> row) {
  return [row](std::span<const int32_t> ids, const Exec&) {
    std::vector<float> out;
    for (size_t i = 0; i < ids.size(); ++i) out.insert(out.end(), row.begin(), row.end());
    return out;
  };
}

// Logits that depend on the token, so that sequences differ.
SequenceLogits noisy(uint64_t seed) {
  return [seed](std::span<const int32_t> ids, const Exec&) {
    std::vector<float> out;
    for (const int32_t id : ids) {
      PyRandom random(seed * 1000 + static_cast<uint64_t>(id));
      for (int64_t j = 0; j < kVocab; ++j) out.push_back(static_cast<float>(random.gauss(0, 2)));
    }
    return out;
  };
}

std::vector<ScoredSequence> some_sequences() {
  PyRandom random(5);
  std::vector<std::vector<int32_t>> out(150);
  for (auto& s : out) {
    s.resize(2 + random.below(9));
    for (int32_t& id : s) id = static_cast<int32_t>(random.below(kVocab));
  }
  return all_scored(out);
}

TEST(Perplexity, OfConstantLogitsIsTheVocabulary) {
  const auto r =
      measure_loss(constant(std::vector<float>(kVocab, 3.25f)), some_sequences(), Exec{}, "t");
  EXPECT_NEAR(r.loss, std::log(7.0), 1e-12);
  EXPECT_NEAR(r.perplexity, 7.0, 1e-10);
  EXPECT_NEAR(r.standard_error, 0.0, 1e-12);
}

TEST(Perplexity, OfAOneTokenVocabularyIsOne) {
  const auto r = measure_loss(constant({0.5f}), all_scored({{0, 0, 0}}), Exec{}, "t");
  EXPECT_EQ(r.loss, 0.0);
  EXPECT_EQ(r.perplexity, 1.0);
  EXPECT_EQ(r.tokens, 2);
}

TEST(Perplexity, NeedsTwoTokens) {
  EXPECT_THROW(measure_loss(noisy(1), {}, Exec{}, "t"), Error);
  EXPECT_THROW(measure_loss(noisy(1), all_scored({{3}, {}}), Exec{}, "t"), Error);
}

TEST(Perplexity, KnowsAKnownDistribution) {
  // p = (1/2, 1/4, 1/4) against q = (1/4, 1/4, 1/2): KL = 1/2 ln 2 + 1/4 ln(1/2).
  const float half = std::log(0.5f), quarter = std::log(0.25f);
  const auto c =
      compare_models(constant({quarter, quarter, half}), constant({half, quarter, quarter}),
                     all_scored({{0, 0, 1}}), Exec{}, "t");
  EXPECT_NEAR(c.divergence.kl_mean, 0.25 * std::log(2.0), 1e-7);
  EXPECT_EQ(c.divergence.top1_agreement, 0.0);
  EXPECT_NEAR(c.base.loss, 0.5 * (std::log(2.0) + std::log(4.0)), 1e-7);
}

// Two positions of the first token, then one of the third: p changes by -1/4, -1/4, +1/4.
TEST(Perplexity, KnowsTheChangeOfProbability) {
  const float half = std::log(0.5f), quarter = std::log(0.25f);
  const auto c =
      compare_models(constant({quarter, quarter, half}), constant({half, quarter, quarter}),
                     all_scored({{0, 0, 0}, {1, 2}}), Exec{}, "t");
  EXPECT_NEAR(c.divergence.rms_delta_p, 0.25, 1e-7);
  EXPECT_NEAR(c.divergence.rms_delta_p_standard_error, 0, 1e-7);
}

TEST(Perplexity, RmsStandardErrorMatchesResampling) {
  const auto all = some_sequences();
  const auto whole = compare_models(noisy(3), noisy(4), all, Exec{}, "t").divergence;
  PyRandom random(9);
  double mean = 0, squares = 0, same = 0, same_squares = 0;
  constexpr int kDraws = 200;
  for (int d = 0; d < kDraws; ++d) {
    std::vector<ScoredSequence> drawn;
    for (size_t i = 0; i < all.size(); ++i) drawn.push_back(all[random.below(all.size())]);
    const auto r = compare_models(noisy(3), noisy(4), drawn, Exec{}, "t").divergence;
    mean += r.rms_delta_p / kDraws;
    squares += r.rms_delta_p * r.rms_delta_p / kDraws;
    same += r.top1_agreement / kDraws;
    same_squares += r.top1_agreement * r.top1_agreement / kDraws;
  }
  EXPECT_GT(whole.rms_delta_p, 0.1);
  const double spread = std::sqrt(squares - mean * mean);
  EXPECT_NEAR(whole.rms_delta_p_standard_error, spread, 0.25 * spread);
  const double same_spread = std::sqrt(same_squares - same * same);
  EXPECT_NEAR(whole.top1_standard_error, same_spread, 0.25 * same_spread);
}

TEST(Perplexity, QuantilesAreInOrder) {
  const auto d = compare_models(noisy(1), noisy(2), some_sequences(), Exec{}, "t").divergence;
  EXPECT_LT(d.kl_median, d.kl_p90);
  EXPECT_LE(d.kl_p90, d.kl_p99);
  EXPECT_LE(d.kl_p99, d.kl_p999);
  EXPECT_LE(d.kl_p999, d.kl_max);
}

// A model that agrees with the baseline at even tokens only; sequences count 0, 1, 2, ...
TEST(Perplexity, FollowsThePosition) {
  std::vector<ScoredSequence> counting(3, ScoredSequence{{}, 1});
  for (int32_t i = 0; i < 71; ++i) counting[0].ids.push_back(i % kVocab);
  counting[1].ids = {0, 1, 2};
  counting[2] = {counting[0].ids, 61};
  const SequenceLogits by_place = [](std::span<const int32_t> ids, const Exec&) {
    std::vector<float> out(ids.size() * kVocab);
    for (size_t i = 0; i < ids.size(); ++i) out[i * kVocab + (i < 35 ? 0 : 1)] = 5;
    return out;
  };
  std::vector<float> first(kVocab);
  first[0] = 5;
  const auto d = compare_models(by_place, constant(first), counting, Exec{}, "t").divergence;
  int64_t tokens = 0, next = 1;
  for (const PositionDivergence& p : d.by_position) {
    EXPECT_EQ(p.first, next);
    next = p.last + 1;
    tokens += p.tokens;
    if (p.last <= 35) {
      EXPECT_EQ(p.top1_agreement, 1) << p.first;
      EXPECT_EQ(p.kl_mean, 0) << p.first;
    } else if (p.first > 35) {
      EXPECT_EQ(p.top1_agreement, 0) << p.first;
      EXPECT_GT(p.kl_mean, 1) << p.first;
    }
  }
  EXPECT_EQ(next, 71);
  EXPECT_EQ(tokens, 70 + 2 + 10);
  EXPECT_LE(d.by_position.size(), 32u);
}

TEST(Perplexity, AModelIsNotDistantFromItself) {
  const auto c = compare_models(noisy(4), noisy(4), some_sequences(), Exec{}, "t");
  EXPECT_EQ(c.divergence.kl_mean, 0.0);
  EXPECT_EQ(c.divergence.kl_max, 0.0);
  EXPECT_EQ(c.divergence.top1_agreement, 1.0);
  EXPECT_EQ(c.loss_difference, 0.0);
  EXPECT_EQ(c.loss_difference_standard_error, 0.0);
}

TEST(Perplexity, IsTheSameForAnyNumberOfThreads) {
  Exec one, many;
  many.threads = 4;
  const auto a = compare_models(noisy(1), noisy(2), some_sequences(), one, "t");
  const auto b = compare_models(noisy(1), noisy(2), some_sequences(), many, "t");
  EXPECT_EQ(a.model.loss, b.model.loss);
  EXPECT_EQ(a.divergence.kl_mean, b.divergence.kl_mean);
  EXPECT_EQ(a.loss_difference_standard_error, b.loss_difference_standard_error);
  EXPECT_GT(a.divergence.kl_mean, 0.1);
}

// The standard error must cover what resampling shows: the spread of the loss over many halves of
// the data.
TEST(Perplexity, StandardErrorMatchesResampling) {
  PyRandom random(8);
  const auto all = some_sequences();
  const auto r = measure_loss(noisy(3), all, Exec{}, "t");
  double mean = 0, squares = 0;
  constexpr int kDraws = 400;
  for (int d = 0; d < kDraws; ++d) {
    double nll = 0, tokens = 0;
    for (size_t i = 0; i < all.size(); ++i) {
      const size_t j = random.below(all.size());
      nll += r.sequence_nll[j];
      tokens += static_cast<double>(r.sequence_tokens[j]);
    }
    mean += nll / tokens / kDraws;
    squares += nll / tokens * (nll / tokens) / kDraws;
  }
  const double spread = std::sqrt(squares - mean * mean);
  EXPECT_NEAR(r.standard_error, spread, 0.15 * spread);
}

TEST(Perplexity, WhatIsNotFiniteIsNoResult) {
  std::vector<float> nan(kVocab, 1.0f), wide(kVocab, 0.0f);
  nan[2] = std::nanf("");
  const auto refused = [](std::string_view words, const auto& f) {
    test::expect_error(ErrorKind::corrupt, words, f);
  };
  const auto data = some_sequences();
  refused("the model's loss is ", [&] { measure_loss(constant(nan), data, Exec{}, "t"); });
  refused("the model's loss is ", [&] { compare_models(constant(nan), noisy(1), data, {}, "t"); });
  refused("the baseline's loss is ",
          [&] { compare_models(noisy(1), constant(nan), data, {}, "t"); });
  wide[3] = 1e30f;  // a loss of about 1e30 nats: finite, but not its perplexity
  const LossResult r = measure_loss(constant(wide), data, Exec{}, "t");
  EXPECT_GT(r.loss, 1e29);
  refused("perplexity is not a finite number", [&] { require_perplexity(r); });
}

}  // namespace
}  // namespace nibble
