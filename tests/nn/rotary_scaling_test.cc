// The ways of stretching rotary positions, by their formulas worked out by hand: a head of 8, whose
// waves turn by 1, 0.1, 0.01 and 0.001 radians a position.
#include <gtest/gtest.h>

#include <cmath>
#include <numbers>
#include <utility>
#include <vector>

#include "nibble/nn/rotary.h"

namespace nibble {
namespace {

constexpr int64_t kHead = 8;

void expect_frequencies(const RopeConfig& c, const std::vector<double>& expected) {
  const Rotary rotary(c, kHead);
  ASSERT_EQ(rotary.frequencies().size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i)
    EXPECT_NEAR(rotary.frequencies()[i], expected[i], 1e-6 * expected[i]) << i;
}

// What cosines and sines are multiplied with.
double temperature(const RopeConfig& c) {
  float cos[kHead / 2], sin[kHead / 2];
  const Rotary rotary(c, kHead);
  rotary.angles(0, 4, cos, sin);
  for (int i = 0; i < kHead / 2; ++i) EXPECT_EQ(sin[i], 0);
  rotary.angles(3, 4, cos, sin);
  return std::hypot(double{cos[1]}, double{sin[1]});
}

TEST(RotaryScaling, PlainWavesAreAGeometricSeries) {
  expect_frequencies({}, {1, 0.1, 0.01, 0.001});
  expect_frequencies({.theta = 16}, {1, 0.5, 0.25, 0.125});
  expect_frequencies({.scaling = RopeScaling::linear, .factor = 4}, {0.25, 0.025, 0.0025, 0.00025});
  EXPECT_NEAR(temperature({.scaling = RopeScaling::linear, .factor = 4}), 1, 1e-6);
}

// Wave lengths 6.3, 63, 628 and 6283 in a context of 1024: shorter than a quarter of it stays,
// longer than all of it is divided by 8, between them in proportion to how often it turns.
TEST(RotaryScaling, Llama3KeepsFastWavesAndDividesSlowOnes) {
  const RopeConfig c{.scaling = RopeScaling::llama3,
                     .factor = 8,
                     .original_context = 1024,
                     .low_freq_factor = 1,
                     .high_freq_factor = 4};
  const double turns = 1024 * 0.01 / (2 * std::numbers::pi), smooth = (turns - 1) / (4 - 1);
  EXPECT_NEAR(smooth, 0.2099, 1e-4);
  expect_frequencies(c, {1, 0.1, 0.01 * (smooth + (1 - smooth) / 8), 0.001 / 8});
  EXPECT_NEAR(temperature(c), 1, 1e-6);
}

// 32 turns in 1024 positions are dimension 0.71 of the head, one turn is 2.21: a ramp from 0 to 3.
const RopeConfig kYarn{.scaling = RopeScaling::yarn, .factor = 4, .original_context = 1024};

TEST(RotaryScaling, YarnsRampGoesOverDimensions) {
  const auto mixed = [](double frequency, double ramp) {
    return frequency * ((1 - ramp) + ramp / 4);
  };
  expect_frequencies(kYarn, {1, mixed(0.1, 1.0 / 3), mixed(0.01, 2.0 / 3), 0.001 / 4});
  RopeConfig exact = kYarn;
  exact.truncate = false;
  const auto dimension = [](double turns) {
    return 8 * std::log(1024 / (turns * 2 * std::numbers::pi)) / (2 * std::log(1e4));
  };
  const double low = dimension(32), high = dimension(1);
  EXPECT_NEAR(low, 0.707, 1e-3);
  EXPECT_NEAR(high, 2.212, 1e-3);
  expect_frequencies(exact, {1, mixed(0.1, (1 - low) / (high - low)),
                             mixed(0.01, (2 - low) / (high - low)), 0.001 / 4});
}

TEST(RotaryScaling, YarnsRampStaysWithinTheHead) {
  RopeConfig c = kYarn;
  c.original_context = 4;  // even one turn does not fit: the ramp would begin and end below 0
  c.beta_fast = 2;
  expect_frequencies(c, {1, 0.025, 0.0025, 0.00025});
  c.original_context = int64_t{1} << 31;  // every wave turns often: the ramp ends at dimension 7
  c.beta_fast = 32, c.beta_slow = 1;
  const double low =
      std::floor(8 * std::log(2147483648.0 / (64 * std::numbers::pi)) / (2 * std::log(1e4)));
  EXPECT_EQ(low, 7);
  expect_frequencies(c, {1, 0.1, 0.01, 0.001});
  // A wave of a millionth of a turn would be dimension 8.2: the ramp from 0 ends at 7 all the same.
  c = kYarn;
  c.beta_slow = 1e-6;
  const auto mixed = [](double frequency, double ramp) {
    return frequency * ((1 - ramp) + ramp / 4);
  };
  expect_frequencies(c, {1, mixed(0.1, 1.0 / 7), mixed(0.01, 2.0 / 7), mixed(0.001, 3.0 / 7)});
}

TEST(RotaryScaling, YarnsTemperatureIsItsFormula) {
  const double four = 0.1 * std::log(4.0) + 1;
  EXPECT_NEAR(temperature(kYarn), four, 1e-6);
  RopeConfig c = kYarn;
  c.mscale = 1, c.mscale_all_dim = 0.5;
  EXPECT_NEAR(temperature(c), four / (0.05 * std::log(4.0) + 1), 1e-6);
  c.mscale_all_dim = 0;
  EXPECT_NEAR(temperature(c), four, 1e-6) << "one of the two alone counts for nothing";
  c.attention_factor = 1.5;
  EXPECT_NEAR(temperature(c), 1.5, 1e-6) << "what is said goes before what is computed";
  c = kYarn;
  c.factor = 0.5;
  EXPECT_NEAR(temperature(c), 1, 1e-6);
}

TEST(RotaryScaling, PositionsTurnByTheirNumber) {
  float cos[kHead / 2], sin[kHead / 2];
  const Rotary rotary(RopeConfig{}, kHead);
  rotary.angles(250, 251, cos, sin);
  const double frequencies[] = {1, 0.1, 0.01, 0.001};
  for (int i = 0; i < kHead / 2; ++i) {
    EXPECT_NEAR(cos[i], std::cos(250 * frequencies[i]), 2e-5) << i;
    EXPECT_NEAR(sin[i], std::sin(250 * frequencies[i]), 2e-5) << i;
  }
}

// The first half of the head is turned as a head of that width would be.
TEST(RotaryScaling, APartOfAHead) {
  expect_frequencies({.part = 0.5}, {1, 0.01});
  EXPECT_EQ(turned_width({.part = 0.75}, 128), 96);
}

// Half of the pairs, by the waves of the whole head; the others stay.
TEST(RotaryScaling, ProportionalPartsKeepTheirWaves) {
  const RopeConfig c{.scaling = RopeScaling::proportional, .factor = 2, .part = 0.5};
  const Rotary rotary(c, kHead);
  ASSERT_EQ(rotary.pairs(), 4);
  EXPECT_FLOAT_EQ(rotary.frequencies()[0], 0.5F);
  EXPECT_FLOAT_EQ(rotary.frequencies()[1], 0.05F);
  EXPECT_EQ(rotary.frequencies()[2], 0);
  EXPECT_EQ(rotary.frequencies()[3], 0);
}

// theta times alpha^(8 / 6).
TEST(RotaryScaling, AlphaStretchesTheta) {
  expect_frequencies({.scaling = RopeScaling::dynamic, .alpha = 1000}, {1, 1e-2, 1e-4, 1e-6});
  expect_frequencies({.scaling = RopeScaling::dynamic, .factor = 4}, {1, 0.1, 0.01, 0.001});
}

TEST(RotaryScaling, LongRopeHasDivisorsForShortTextsAndForLongOnes) {
  RopeConfig c{.scaling = RopeScaling::longrope, .factor = 16, .original_context = 100};
  c.short_factors = {1, 2, 4, 8};
  c.long_factors = {2, 4, 8, 16};
  expect_frequencies(c, {1, 0.05, 0.0025, 0.000125});
  const double m = std::sqrt(1 + std::log(16.0) / std::log(100.0));
  float cos[kHead / 2], sin[kHead / 2];
  const Rotary rotary(c, kHead);
  for (const auto& [length, wave] : {std::pair(100, 0.05), std::pair(101, 0.025)}) {
    rotary.angles(7, length, cos, sin);
    EXPECT_NEAR(cos[1], m * std::cos(7 * wave), 1e-6);
    EXPECT_NEAR(sin[1], m * std::sin(7 * wave), 1e-6);
  }
  c.attention_factor = 1.25;
  EXPECT_NEAR(temperature(c), 1.25, 1e-6);
}

// The same pairs, elsewhere in the head; wider than what is turned at once.
TEST(RotaryScaling, NeighboursTurnAsHalvesDo) {
  constexpr int64_t kWide = 600;
  RopeConfig c;
  const Rotary halves(c, kWide);
  c.neighbours = true;
  const Rotary neighbours(c, kWide);
  std::vector<float> cos(kWide / 2), sin(kWide / 2), x(kWide), y(kWide);
  halves.angles(11, 12, cos.data(), sin.data());
  for (size_t i = 0; i < kWide / 2; ++i) {
    x[i] = y[2 * i] = static_cast<float>(i) / 7;
    x[i + kWide / 2] = y[2 * i + 1] = 3 - static_cast<float>(i) / 5;
  }
  halves.apply(cos.data(), sin.data(), x.data());
  neighbours.apply(cos.data(), sin.data(), y.data());
  for (size_t i = 0; i < kWide / 2; ++i) {
    EXPECT_EQ(y[2 * i], x[i]);
    EXPECT_EQ(y[2 * i + 1], x[i + kWide / 2]);
  }
}

}  // namespace
}  // namespace nibble
