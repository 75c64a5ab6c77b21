// Losses of distributions that are known, and of logits beyond what an exponential holds.
#include "nibble/nn/losses.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

namespace nibble {
namespace {

using Logits = std::vector<float>;

TEST(Losses, LogSumExpNeitherOverflowsNorVanishes) {
  EXPECT_NEAR(log_sum_exp(Logits{0, 0, 0, 0}), std::log(4.0), 1e-15);
  EXPECT_NEAR(log_sum_exp(Logits{1000, 1000}), 1000 + std::log(2.0), 1e-12);
  EXPECT_NEAR(log_sum_exp(Logits{-1000, -1000}), -1000 + std::log(2.0), 1e-12);
  EXPECT_EQ(log_sum_exp(Logits{3e38f, -3e38f}), double{3e38f});
  EXPECT_EQ(log_sum_exp(Logits{7.5f}), 7.5);
}

TEST(Losses, CrossEntropyIsMinusTheLogOfTheProbability) {
  const Logits logits = {std::log(0.5f), std::log(0.25f), std::log(0.125f), std::log(0.125f)};
  EXPECT_NEAR(cross_entropy(logits, 0), std::log(2.0), 1e-7);
  EXPECT_NEAR(cross_entropy(logits, 3), std::log(8.0), 1e-7);
  Logits moved = logits;
  for (float& v : moved) v += 64;
  EXPECT_NEAR(cross_entropy(moved, 3), std::log(8.0), 1e-5) << "a constant changes nothing";
  EXPECT_NEAR(cross_entropy(Logits{0, 100}, 0), 100, 1e-12) << "also where a probability is 1e-44";
}

TEST(Losses, DivergenceIsOfTheFirstFromTheSecond) {
  const Logits p = {std::log(0.5f), std::log(0.5f)}, q = {std::log(0.75f), std::log(0.25f)};
  EXPECT_NEAR(kl_divergence(p, q), 0.5 * std::log(0.5 / 0.75) + 0.5 * std::log(0.5 / 0.25), 1e-7);
  EXPECT_NEAR(kl_divergence(q, p), 0.75 * std::log(0.75 / 0.5) + 0.25 * std::log(0.25 / 0.5), 1e-7);
  EXPECT_EQ(kl_divergence(p, p), 0);
  // 0.9 against 0.1 of what the second holds nearly impossible.
  EXPECT_NEAR(kl_divergence(Logits{0, 0}, Logits{0, -1000}), 500 - std::log(2.0), 1e-6);
}

// Rounding must not make a distance negative, nor hide that there is none.
TEST(Losses, DivergenceIsNeverNegativeAndNanStays) {
  for (int i = 0; i < 1000; ++i) {
    Logits a(17), b(17);
    for (size_t j = 0; j < a.size(); ++j) {
      a[j] = static_cast<float>(std::sin(i * 1.7 + static_cast<double>(j)) * 30);
      b[j] = std::nextafter(a[j], a[j] + static_cast<float>((i + static_cast<int>(j)) % 3 - 1));
    }
    EXPECT_GE(kl_divergence(a, b), 0) << i;
  }
  EXPECT_TRUE(std::isnan(kl_divergence(Logits{0, std::nanf("")}, Logits{0, 0})));
  EXPECT_TRUE(std::isnan(kl_divergence(Logits{0, 0}, Logits{0, std::nanf("")})));
}

TEST(Losses, OfEqualLogitsTheFirstIsTheLargest) {
  EXPECT_EQ(argmax(Logits{1, 3, 3, 2}), 1);
  EXPECT_EQ(argmax(Logits{-1}), 0);
}

}  // namespace
}  // namespace nibble
