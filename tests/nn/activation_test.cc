// Activations against their formulas in f64.
#include "nibble/nn/activation.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numbers>
#include <vector>

#include "nibble/nn/exp.h"

namespace nibble {
namespace {

// Values over the whole range that activations meet, and its ends.
std::vector<float> inputs() {
  std::vector<float> x{0.0f, -0.0f, 1e-30f, -1e-30f, 300.0f, -300.0f, 1e6f, -1e6f};
  for (int i = -4000; i <= 4000; ++i) x.push_back(static_cast<float>(i) * 0.0123f);
  return x;
}

TEST(ExpFast, IsWithinTwoUnitsInTheLastPlace) {
  double worst = 0;
  for (int i = -870'000; i <= 880'000; i += 7) {
    const auto x = static_cast<float>(i * 1e-4);
    const double right = std::exp(static_cast<double>(x));
    worst = std::max(worst, std::abs(exp_fast(x) - right) / right);
  }
  EXPECT_LE(worst, 2 * 0x1p-23);
  EXPECT_EQ(exp_fast(0.0f), 1.0f);
  EXPECT_GT(exp_fast(-1e30f), 0.0f);
  EXPECT_LT(exp_fast(-1e30f), 1.2e-38f);
  EXPECT_TRUE(std::isfinite(exp_fast(1e30f)));
  EXPECT_TRUE(std::isnan(exp_fast(std::numeric_limits<float>::quiet_NaN())));
}

TEST(Activation, FollowTheirFormulas) {
  const std::vector<float> x = inputs();
  std::vector<float> tanh_form = x, erf_form = x, cut = x, gated(x.size(), 1.0f);
  gelu_tanh(tanh_form), gelu(erf_form), relu(cut), silu_gate(x, gated);
  for (size_t i = 0; i < x.size(); ++i) {
    const double v = x[i], tolerance = 2e-6 * std::max(1.0, std::abs(v));
    const double u = std::sqrt(2 / std::numbers::pi) * (v + 0.044715 * v * v * v);
    EXPECT_NEAR(tanh_form[i], 0.5 * v * (1 + std::tanh(u)), tolerance) << v;
    EXPECT_NEAR(erf_form[i], 0.5 * v * (1 + std::erf(v / std::numbers::sqrt2)), tolerance) << v;
    EXPECT_EQ(cut[i], v > 0 ? x[i] : 0.0f) << v;
    EXPECT_NEAR(gated[i], v / (1 + std::exp(-v)), tolerance) << v;
  }
}

}  // namespace
}  // namespace nibble
