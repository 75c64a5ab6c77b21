// Attention, its cache and rotary positions against the formulas in f64.
#include "nibble/nn/attention.h"

#include <gtest/gtest.h>

#include <cmath>

#include "nibble/core/error.h"
#include "nibble/core/random.h"
#include "nibble/nn/rotary.h"

namespace nibble {
namespace {

std::vector<float> random_values(int64_t n, uint64_t seed) {
  PyRandom random(seed);
  std::vector<float> out(static_cast<size_t>(n));
  for (float& v : out) v = static_cast<float>(random.gauss(0, 1));
  return out;
}

struct Case {
  AttentionShape shape;
  int64_t positions, window;
};

AttentionRule rule_of(const AttentionShape& shape, int64_t window) {
  return {shape, window, 1.0f / std::sqrt(static_cast<float>(shape.head_dim)), 0};
}

class Attention : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    q_ = random_values(p_.positions * p_.shape.heads * p_.shape.head_dim, 1);
    k_ = random_values(p_.positions * p_.shape.kv_heads * p_.shape.head_dim, 2);
    v_ = random_values(p_.positions * v_width(), 3);
  }
  int64_t q_width() const { return p_.shape.heads * p_.shape.head_dim; }
  int64_t k_width() const { return p_.shape.kv_heads * p_.shape.head_dim; }
  int64_t v_width() const { return p_.shape.kv_heads * p_.shape.values(); }
  int64_t out_width() const { return p_.shape.heads * p_.shape.values(); }

  // The rows from..to-1, asked for `step` at a time.
  std::vector<float> run(int64_t step, DType dtype = DType::f32, int threads = 1) const {
    KvCache cache(2, p_.positions, p_.shape, dtype);
    const AttentionRule rule = rule_of(p_.shape, p_.window);
    std::vector<float> out(static_cast<size_t>(p_.positions * out_width()));
    Exec exec;
    exec.threads = threads;
    for (int64_t at = 0; at < p_.positions; at += step) {
      const int64_t m = std::min(step, p_.positions - at);
      for (int64_t t = at; t < at + m; ++t) write(cache, 1, t);
      cache.advance(m);
      attend({q_.data() + at * q_width(), q_width(), m, at}, cache, 1, rule,
             std::span(out).subspan(static_cast<size_t>(at * out_width()),
                                    static_cast<size_t>(m * out_width())),
             exec);
    }
    return out;
  }

  void write(KvCache& cache, int64_t layer, int64_t t) const {
    for (int64_t head = 0; head < p_.shape.kv_heads; ++head) {
      cache.write(layer, head, t, k_.data() + t * k_width() + head * p_.shape.head_dim,
                  v_.data() + t * v_width() + head * p_.shape.values());
    }
  }

  double expected(int64_t row, int64_t head, int64_t i) const {
    const int64_t d = p_.shape.head_dim, of = head / (p_.shape.heads / p_.shape.kv_heads);
    double total = 0, sum = 0;
    for (int64_t t = 0; t <= row; ++t) {
      if (p_.window > 0 && row - t >= p_.window) continue;
      double dot = 0;
      for (int64_t j = 0; j < d; ++j)
        dot += static_cast<double>(at(q_, row * q_width() + head * d + j)) *
               at(k_, t * k_width() + of * d + j);
      const double weight = std::exp(dot / std::sqrt(static_cast<double>(d)));
      total += weight;
      sum += weight * at(v_, t * v_width() + of * p_.shape.values() + i);
    }
    return sum / total;
  }
  static double at(const std::vector<float>& x, int64_t i) { return x[static_cast<size_t>(i)]; }

  const Case p_ = GetParam();
  std::vector<float> q_, k_, v_;
};

TEST_P(Attention, FollowsTheFormula) {
  const auto out = run(p_.positions), half = run(p_.positions, DType::f16);
  const auto bytes = run(p_.positions, DType::i8);
  for (int64_t r = 0; r < p_.positions; ++r) {
    for (int64_t h = 0; h < p_.shape.heads; ++h) {
      for (int64_t i = 0; i < p_.shape.values(); ++i) {
        const int64_t index = r * out_width() + h * p_.shape.values() + i;
        ASSERT_NEAR(at(out, index), expected(r, h, i), 1e-5) << r << " " << h << " " << i;
        ASSERT_NEAR(at(half, index), expected(r, h, i), 5e-3) << r << " " << h << " " << i;
        ASSERT_NEAR(at(bytes, index), expected(r, h, i), 0.1) << r << " " << h << " " << i;
      }
    }
  }
}

TEST_P(Attention, IsTheSameForAnyBatchAndThreads) {
  for (const DType dtype : {DType::f32, DType::f16, DType::i8}) {
    const auto whole = run(p_.positions, dtype);
    EXPECT_EQ(run(1, dtype), whole);
    EXPECT_EQ(run(7, dtype), whole);
    EXPECT_EQ(run(p_.positions, dtype, 3), whole);
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, Attention,
                         testing::Values(Case{{1, 1, 1}, 5, 0}, Case{{4, 4, 8}, 17, 0},
                                         Case{{6, 2, 20}, 23, 0}, Case{{4, 1, 16}, 33, 5},
                                         Case{{8, 4, 33}, 40, 1}, Case{{16, 2, 64}, 70, 100},
                                         Case{{6, 3, 80}, 300, 0}, Case{{2, 1, 64}, 300, 140},
                                         Case{{4, 4, 24, 16}, 40, 0}, Case{{6, 2, 5, 33}, 150, 20},
                                         Case{{3, 1, 40, 7}, 130, 0}));

TEST(KvCache, HalvesAreExactAndSaturate) {
  const AttentionShape shape{1, 1, 6};
  KvCache cache(1, 1, shape, DType::f16);
  const std::vector<float> q{0, 0, 0, 0, 0, 0}, k = q;
  const std::vector<float> v{1.5f, -0.0f, 0x1p-24f, 1e9f, -1e9f, -0x1.8p-15f};
  cache.write(0, 0, 0, k.data(), v.data());
  cache.advance(1);
  std::vector<float> out(6);
  attend({q.data(), 6, 1, 0}, cache, 0, rule_of(shape, 0), out, Exec{});
  EXPECT_EQ(out, (std::vector<float>{1.5f, 0.0f, 0x1p-24f, 65504, -65504, -0x1.8p-15f}));
  // 16 positions of 6 key and 16 value elements.
  EXPECT_EQ(cache.memory_bytes(), size_t{16 * (6 + 16) * 2});
  EXPECT_EQ(KvCache(1, 1, {1, 1, 6, 17}, DType::f16).memory_bytes(), size_t{16 * (6 + 32) * 2});
}

TEST(KvCache, BytesHaveAScaleForEachHeadAndPosition) {
  const AttentionShape shape{2, 2, 4};
  KvCache cache(1, 1, shape, DType::i8);
  const std::vector<float> q(8, 0.0f), k(4, 0.0f);
  const std::vector<float> small{1.27f, -0.01f, 0.0f, 0.64f}, large{127e6f, -1e6f, 0.0f, 64e6f};
  cache.write(0, 0, 0, k.data(), small.data());
  cache.write(0, 1, 0, k.data(), large.data());
  cache.advance(1);
  std::vector<float> out(8);
  attend({q.data(), 8, 1, 0}, cache, 0, rule_of(shape, 0), out, Exec{});
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_FLOAT_EQ(out[i], small[i]);
    EXPECT_FLOAT_EQ(out[4 + i], large[i]);
  }
}

TEST(KvCache, RefusesOtherTypes) {
  EXPECT_THROW(KvCache(1, 1, AttentionShape{1, 1, 2}, DType::bf16), Error);
}

TEST(Rotary, TurnsHalvesAgainstEachOther) {
  RopeConfig config;
  config.theta = 100.0;
  const Rotary rotary(config, 4);
  ASSERT_EQ(rotary.frequencies().size(), 2u);
  EXPECT_FLOAT_EQ(rotary.frequencies()[1], 0.1f);
  std::vector<float> x{1, 2, 3, 4, 5, 6, 7, 8, 9};  // two heads, and what is behind them
  const std::vector<float> before = x;
  float cos[2], sin[2];
  rotary.angles(3, 4, cos, sin);
  rotary.apply(cos, sin, x.data());
  rotary.apply(cos, sin, x.data() + 4);
  for (size_t head = 0; head < 2; ++head) {
    for (size_t i = 0; i < 2; ++i) {
      const double angle = 3.0 * (i == 0 ? 1.0 : 0.1), a = before[head * 4 + i];
      const double b = before[head * 4 + i + 2];
      EXPECT_NEAR(x[head * 4 + i], a * std::cos(angle) - b * std::sin(angle), 1e-5);
      EXPECT_NEAR(x[head * 4 + i + 2], b * std::cos(angle) + a * std::sin(angle), 1e-5);
    }
  }
  EXPECT_EQ(x[8], 9.0f);
}

TEST(Rotary, LinearScalingDividesPositions) {
  RopeConfig config;
  config.scaling = RopeScaling::linear;
  config.factor = 4.0;
  const Rotary plain(RopeConfig{}, 8), scaled(config, 8);
  for (size_t i = 0; i < 4; ++i)
    EXPECT_FLOAT_EQ(scaled.frequencies()[i] * 4, plain.frequencies()[i]);
}

// One key and value of `size` in a cache of that type.
std::optional<Error> stored(DType dtype, float key, float value) {
  KvCache cache(1, 4, {1, 1, 3}, dtype);
  const std::vector<float> k = {0, key, key / 3}, v = {value, 0, value / 7};
  cache.write(0, 0, 1, k.data(), v.data());
  return cache.take_range_error();
}

TEST(KvCache, TellsWhatDoesNotFitF16) {
  for (const float good : {0.0f, 1.0f, 65504.0f, 0x1p-21f, -65504.0f})
    EXPECT_FALSE(stored(DType::f16, good, good)) << good;
  for (const float bad : {65536.0f, -9e4f, 1e30f, 4e-7f, -1e-9f, 1e-40f}) {
    ASSERT_TRUE(stored(DType::f16, bad, 1)) << bad;
    ASSERT_TRUE(stored(DType::f16, 1, bad)) << bad;
    EXPECT_NE(stored(DType::f16, 1, bad)->reason().find("`kv`"), std::string::npos);
    EXPECT_FALSE(stored(DType::f32, bad, bad)) << bad;
    EXPECT_FALSE(stored(DType::i8, bad, bad)) << bad;
  }
  // What is not finite is told by the logits.
  EXPECT_FALSE(stored(DType::f16, std::nanf(""), 1));
  KvCache cache(1, 4, {1, 1, 1}, DType::f16);
  const float large = 1e5f, small = 1e-9f;
  cache.write(0, 0, 0, &small, &large);
  EXPECT_NE(cache.take_range_error()->reason().find("as large as 1e+05"), std::string::npos);
  EXPECT_FALSE(cache.take_range_error());
  cache.write(0, 0, 0, &small, &large);
  cache.clear();
  EXPECT_FALSE(cache.take_range_error());
}

}  // namespace
}  // namespace nibble
