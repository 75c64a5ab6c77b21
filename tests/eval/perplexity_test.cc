// Loss, divergence and their standard errors on models whose answers are known.
#include "nibble/eval/perplexity.h"

#include <gtest/gtest.h>

#include <cmath>

#include "nibble/core/error.h"
#include "nibble/core/random.h"

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

}  // namespace
}  // namespace nibble
