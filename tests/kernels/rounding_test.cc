// RoundingOps of every instruction set this processor has, each against the definition in f64 with
// its own levels: a level that lies on an edge may fall either way.
#include "nibble/kernels/rounding.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "nibble/core/cpu.h"
#include "nibble/core/random.h"

namespace nibble {
namespace {

constexpr int64_t kL = kRoundingLanes;

std::vector<const RoundingOps*> rounding_ops() {
  std::vector<const RoundingOps*> out{&ref_rounding_ops()};
#if defined(__x86_64__)
  if ((cpu().bits & kAvx2) != 0) out.push_back(&avx2_rounding_ops());
  if ((cpu().bits & kAvx512) != 0) out.push_back(&avx512_rounding_ops());
#endif
  return out;
}

std::vector<float> drawn_values(int64_t n, double deviation, PyRandom& random) {
  std::vector<float> out(static_cast<size_t>(n));
  for (float& v : out) v = static_cast<float>(random.gauss(0, deviation));
  return out;
}

float at(const std::vector<float>& x, int64_t i) { return x[static_cast<size_t>(i)]; }

TEST(Rounding, EveryLevelIsTheNearestToWhatIsLeft) {
  for (const RoundingOps* ops : rounding_ops()) {
    for (const int64_t size : {1, 7, 8, 16, 31, 64, 128}) {
      PyRandom random(static_cast<uint64_t>(size));
      const auto feedback = drawn_values(size * size, 0.2, random),
                 target = drawn_values(size * kL, 1, random);
      std::vector<float> weight = drawn_values(size, 1, random),
                         scale = drawn_values(kL, 0.3, random);
      for (float& w : weight) w = std::fabs(w);
      scale[3] = 0;
      const std::vector<float> low(static_cast<size_t>(kL), -8), high(low.size(), 7);
      std::vector<float> error(low.size()), level(target.size()), left(target.size());
      ops->round({size, feedback.data(), weight.data(), target.data(), scale.data(), low.data(),
                  high.data(), nullptr, error.data(), level.data(), left.data()});
      for (int64_t l = 0; l < kL; ++l) {
        double sum = 0;
        for (int64_t j = 0; j < size; ++j) {
          double v = at(target, j * kL + l);
          for (int64_t i = 0; i < j; ++i)
            v += double{at(left, i * kL + l)} * at(feedback, i * size + j);
          const double u = at(level, j * kL + l), q = u * at(scale, l);
          const double x = at(scale, l) == 0 ? 0 : v / at(scale, l);
          EXPECT_EQ(u, std::nearbyint(u));
          EXPECT_LE(std::fabs(u - std::clamp(x, -8.0, 7.0)), 0.5 + 1e-3 * (1 + std::fabs(x)))
              << ops->name << " column " << j << " of " << size << ", lane " << l;
          EXPECT_NEAR(at(left, j * kL + l), at(target, j * kL + l) - q, 1e-5);
          sum += at(weight, j) * (v - q) * (v - q);
        }
        EXPECT_NEAR(at(error, l), sum, 1e-3 * (1 + sum)) << ops->name;
      }
    }
  }
}

TEST(Rounding, CombinesColumns) {
  const int64_t m = 37, n = 21, lda = 40;
  PyRandom random(5);
  const auto a = drawn_values(m * lda, 1, random), x = drawn_values(m * kL, 1, random);
  for (const RoundingOps* ops : rounding_ops()) {
    std::vector<float> y(static_cast<size_t>(n * kL + 1), 99);
    ops->combine(m, n, a.data(), lda, x.data(), y.data());
    for (int64_t j = 0; j < n; ++j) {
      for (int64_t l = 0; l < kL; ++l) {
        double sum = 0;
        for (int64_t i = 0; i < m; ++i) sum += double{at(a, i * lda + j)} * at(x, i * kL + l);
        EXPECT_NEAR(at(y, j * kL + l), sum, 1e-4) << ops->name;
      }
    }
    EXPECT_EQ(y.back(), 99);
  }
}

TEST(Rounding, SelectsLanes) {
  PyRandom random(6);
  const auto from = drawn_values(9 * kL, 1, random), before = drawn_values(9 * kL, 1, random);
  std::vector<float> take(static_cast<size_t>(kL));
  for (int64_t l = 0; l < kL; ++l) take[static_cast<size_t>(l)] = l % 3 == 0 ? 1 : 0;
  for (const RoundingOps* ops : rounding_ops()) {
    std::vector<float> to = before;
    ops->select(9, take.data(), from.data(), to.data());
    for (int64_t i = 0; i < 9 * kL; ++i)
      EXPECT_EQ(at(to, i), i % kL % 3 == 0 ? at(from, i) : at(before, i)) << ops->name;
  }
}

TEST(Rounding, ARowOnGridsOfItsOwn) {
  for (const RoundingOps* ops : rounding_ops()) {
    for (const int64_t size : {1, 7, 16, 31, 100, 128}) {
      PyRandom random(static_cast<uint64_t>(size));
      auto feedback = drawn_values(size * kRoundingColumns, 0.2, random);
      for (int64_t i = 0; i < size; ++i)
        std::fill_n(feedback.begin() + i * kRoundingColumns, i + 1, 0.0f);
      const auto target = drawn_values(kRoundingColumns, 1, random);
      const auto start = drawn_values(kRoundingColumns, 1, random);
      auto scale = drawn_values(kRoundingColumns, 0.3, random);
      scale[static_cast<size_t>(size / 2)] = 0;
      const std::vector<float> low(target.size(), -8), high(target.size(), 7);
      std::vector<float> v = start, level(target.size()), left(target.size());
      ops->round_row({size, feedback.data(), target.data(), scale.data(), low.data(), high.data(),
                      v.data(), level.data(), left.data()});
      for (int64_t j = 0; j < size; ++j) {
        double should = at(start, j);
        for (int64_t i = 0; i < j; ++i)
          should += double{at(left, i)} * at(feedback, i * kRoundingColumns + j);
        EXPECT_NEAR(at(v, j), should, 1e-3 * (1 + std::fabs(should))) << ops->name;
        const double u = at(level, j), x = at(scale, j) == 0 ? 0 : should / at(scale, j);
        EXPECT_EQ(u, std::nearbyint(u));
        EXPECT_LE(std::fabs(u - std::clamp(x, -8.0, 7.0)), 0.5 + 1e-3 * (1 + std::fabs(x)))
            << ops->name << " column " << j << " of " << size;
        EXPECT_NEAR(at(left, j), at(target, j) - u * at(scale, j), 1e-5);
      }
    }
  }
}

// Levels that are not evenly spaced: of 16 values the nearest.
TEST(Rounding, OfValuesTheNearestIsTaken) {
  constexpr float kValues[kRoundingValues] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                              1,    13,   25,  38,  53,  69,  89,  113};
  for (const RoundingOps* ops : rounding_ops()) {
    for (const int64_t size : {1, 8, 13, 64}) {
      PyRandom random(static_cast<uint64_t>(size) + 100);
      const auto target = drawn_values(size * kL, 60, random);
      const std::vector<float> feedback(static_cast<size_t>(size * size), 0.0f),
          weight(static_cast<size_t>(size), 1.0f), low(static_cast<size_t>(kL), -127),
          high(low.size(), 113);
      std::vector<float> scale(low.size(), 0.5f), error(low.size()), level(target.size()),
          left(target.size());
      scale[2] = -0.25f;
      RoundTile tile{size,         feedback.data(), weight.data(), target.data(),
                     scale.data(), low.data(),      high.data(),   kValues,
                     error.data(), level.data(),    left.data()};
      ops->round(tile);
      for (int64_t i = 0; i < size * kL; ++i) {
        const float x = at(target, i) / at(scale, i % kL), u = at(level, i);
        for (const float v : kValues)
          EXPECT_LE(std::fabs(u - x), std::fabs(v - x) + 1e-4f) << ops->name;
        EXPECT_NEAR(at(left, i), at(target, i) - u * at(scale, i % kL), 1e-4f);
      }
    }
  }
}

}  // namespace
}  // namespace nibble
