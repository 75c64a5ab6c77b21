// Means, quantiles and standard errors of losses and divergences, worked out by hand.
#include <gtest/gtest.h>

#include <cmath>

#include "nibble/eval/perplexity.h"

namespace nibble {
namespace {

constexpr int kTokens = 8;

// Behind token i a model gives p[i] to token 0 and the rest to token 1.
SequenceLogits by_token(std::vector<double> p) {
  return [p](std::span<const int32_t> ids, const Exec&) {
    std::vector<float> out;
    for (const int32_t id : ids) {
      std::vector<float> row(kTokens, -1e4f);
      row[0] = static_cast<float>(std::log(p[static_cast<size_t>(id)]));
      row[1] = static_cast<float>(std::log(1 - p[static_cast<size_t>(id)]));
      out.insert(out.end(), row.begin(), row.end());
    }
    return out;
  };
}
const std::vector<double> kHalves(kTokens, 0.5);

// KL of an even choice from one of p.
double from_even(double p) { return -0.5 * std::log(2 * p) - 0.5 * std::log(2 * (1 - p)); }

// Five positions in sequences of their own, their divergences in no order.
TEST(DivergenceByHand, QuantilesLieBetweenNeighboursInProportion) {
  const std::vector<double> p = {0.6, 0.9, 0.7, 0.99, 0.8, 0.5, 0.5, 0.5};
  const auto d = compare_models(by_token(p), by_token(kHalves),
                                all_scored({{0, 0}, {1, 0}, {2, 0}, {3, 0}, {4, 0}}), Exec{}, "t")
                     .divergence;
  const double k[] = {from_even(0.6), from_even(0.7), from_even(0.8), from_even(0.9),
                      from_even(0.99)};
  EXPECT_NEAR(d.kl_mean, (k[0] + k[1] + k[2] + k[3] + k[4]) / 5, 1e-6);
  EXPECT_NEAR(d.kl_median, k[2], 1e-6);
  EXPECT_NEAR(d.kl_p90, k[3] + 0.6 * (k[4] - k[3]), 1e-6);
  EXPECT_NEAR(d.kl_p99, k[3] + 0.96 * (k[4] - k[3]), 1e-6);
  EXPECT_NEAR(d.kl_p999, k[3] + 0.996 * (k[4] - k[3]), 1e-6);
  EXPECT_NEAR(d.kl_max, k[4], 1e-6);
  double squares = 0;
  for (const double v : k) squares += (v - d.kl_mean) * (v - d.kl_mean);
  EXPECT_NEAR(d.kl_standard_error, std::sqrt(squares / 4 / 5), 1e-6) << "of a mean of five";
}

// Sequences of one and of three predictions: each weighs as many, and its error as a ratio's.
TEST(DivergenceByHand, StandardErrorsWeighSequencesByTheirTokens) {
  const std::vector<double> p = {0.25, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5};
  const auto sequences = all_scored({{0, 0}, {1, 0, 1, 0}});
  const LossResult r = measure_loss(by_token(p), sequences, Exec{}, "t");
  // ln 4 of one prediction; behind 1, 0, 1 come 0, 1, 0 with 1/2, 3/4, 1/2.
  const double a = std::log(4.0), b = std::log(2.0) + std::log(4.0 / 3) + std::log(2.0);
  EXPECT_NEAR(r.loss, (a + b) / 4, 1e-6);
  EXPECT_EQ(r.tokens, 4);
  EXPECT_NEAR(r.perplexity, std::exp((a + b) / 4), 1e-5);
  const double rest = a - r.loss, other = b - 3 * r.loss;
  EXPECT_NEAR(r.standard_error, std::sqrt((rest * rest + other * other) * 2) / 4, 1e-6);
  EXPECT_EQ(r.sequence_tokens, (std::vector<int64_t>{1, 3}));
  EXPECT_NEAR(r.sequence_nll[1], b, 1e-6);
}

TEST(DivergenceByHand, SequencesThatPredictNothingCountForNothing) {
  const std::vector<double> p = {0.25, 0.5, 0.75, 0.5, 0.5, 0.5, 0.5, 0.5};
  const auto measured = [&](const std::vector<std::vector<int32_t>>& sequences) {
    return measure_loss(by_token(p), all_scored(sequences), Exec{}, "t");
  };
  const LossResult two = measured({{0, 0}, {2, 0}}),
                   more = measured({{0, 0}, {5}, {2, 0}, {}, {6}});
  EXPECT_GT(two.standard_error, 0.1);
  EXPECT_EQ(more.standard_error, two.standard_error);
  EXPECT_EQ(more.loss, two.loss);
  EXPECT_EQ(measured({{0, 0}, {5}}).standard_error, 0) << "one sequence has no spread";
}

// Both models lose much on one text and little on the other: their difference hardly varies.
TEST(DivergenceByHand, TheErrorOfADifferenceIsThatOfPairs) {
  const std::vector<double> base = {0.1, 0.8, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5},
                            model = {0.09, 0.7, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5};
  const auto c =
      compare_models(by_token(model), by_token(base), all_scored({{0, 0}, {1, 0}}), Exec{}, "t");
  const double first = std::log(0.1 / 0.09), second = std::log(0.8 / 0.7);
  EXPECT_NEAR(c.loss_difference, (first + second) / 2, 1e-6);
  EXPECT_NEAR(c.loss_difference_standard_error, std::abs(first - second) / 2, 1e-6);
  EXPECT_GT(c.base.standard_error, 20 * c.loss_difference_standard_error);
}

// Of three positions the models rank the same token first at two.
TEST(DivergenceByHand, AgreementIsOfTheLikeliest) {
  const std::vector<double> base = {0.6, 0.6, 0.4, 0.5, 0.5, 0.5, 0.5, 0.5},
                            model = {0.9, 0.4, 0.1, 0.5, 0.5, 0.5, 0.5, 0.5};
  const auto d = compare_models(by_token(model), by_token(base),
                                all_scored({{0, 0}, {1, 0}, {2, 0}}), Exec{}, "t")
                     .divergence;
  EXPECT_NEAR(d.top1_agreement, 2.0 / 3, 1e-12);
  // Deviations 1/3, -2/3, 1/3: their squares 6/9, over 2, over 3 of a mean of three.
  EXPECT_NEAR(d.top1_standard_error, std::sqrt(6.0 / 9 / 2 / 3), 1e-12);
  const double squares = 0.3 * 0.3 + 0.2 * 0.2 + 0.3 * 0.3;
  EXPECT_NEAR(d.rms_delta_p, std::sqrt(squares / 3), 1e-6) << "of token 0, which comes each time";
}

// What is scored begins behind the middle: the rest is read and not counted.
TEST(DivergenceByHand, OnlyWhatIsScoredCounts) {
  const std::vector<double> p = {0.25, 0.5, 0.125, 0.5, 0.5, 0.5, 0.5, 0.5};
  const LossResult r = measure_loss(by_token(p), {{{0, 1, 2, 0}, 3}, {{1, 0, 1}, 2}}, Exec{}, "t");
  EXPECT_EQ(r.tokens, 2);
  // Token 0 behind 2; token 1 behind 0.
  EXPECT_NEAR(r.loss, (std::log(8.0) + std::log(4.0 / 3)) / 2, 1e-6);
}

}  // namespace
}  // namespace nibble
