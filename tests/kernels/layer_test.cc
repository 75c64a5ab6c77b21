// LayerOps of every instruction set this processor has against their formulas in f64. Attention is
// tested through nn/attention.h.
#include "nibble/kernels/layer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <span>
#include <vector>

#include "nibble/core/float_formats.h"
#include "tests/kernels/layer_sets.h"

namespace nibble {
namespace {

// Values over the whole range that activations meet, and its ends.
std::vector<float> inputs() {
  std::vector<float> x{0.0f, -0.0f, 1e-30f, -1e-30f, 300.0f, -300.0f, 1e6f, -1e6f};
  for (int i = -4000; i <= 4000; ++i) x.push_back(static_cast<float>(i) * 0.0123f);
  return x;
}

TEST(Kernels, ActivationsFollowTheirFormulas) {
  const std::vector<float> x = inputs();
  const auto n = static_cast<int64_t>(x.size());
  for (const LayerOps* ops : layer_ops()) {
    std::vector<float> tanh_form = x, cut = x, gated(x.size(), 1.0f);
    ops->gelu_tanh(n, tanh_form.data());
    ops->relu(n, cut.data());
    ops->silu_gate(x.data(), n, gated.data());
    for (size_t i = 0; i < x.size(); ++i) {
      const double v = x[i], tolerance = 2e-6 * std::max(1.0, std::abs(v));
      const double u = std::sqrt(2 / 3.14159265358979323846) * (v + 0.044715 * v * v * v);
      EXPECT_NEAR(tanh_form[i], 0.5 * v * (1 + std::tanh(u)), tolerance) << ops->name << " " << v;
      EXPECT_EQ(cut[i], v > 0 ? x[i] : 0.0f) << ops->name << " " << v;
      EXPECT_NEAR(gated[i], v / (1 + std::exp(-v)), tolerance) << ops->name << " " << v;
    }
  }
}

TEST(Kernels, NanGoesThroughLayerOps) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const LayerOps* ops : layer_ops()) {
    std::vector<float> a(19, nan), b = a, c(19, 1.0f), d(19, 1.0f);
    ops->relu(19, a.data());
    ops->gelu_tanh(19, b.data());
    ops->silu_gate(b.data(), 19, c.data());
    std::vector<float> x(19, 1.0f);
    x[17] = nan;
    ops->rms_norm(x.data(), 19, nullptr, nullptr, 1e-5f, d.data());
    for (size_t i = 0; i < 19; ++i) {
      EXPECT_TRUE(std::isnan(a[i]) && std::isnan(b[i]) && std::isnan(c[i]) && std::isnan(d[i]))
          << ops->name << " " << i;
    }
  }
}

// Attention of one query over scores [positions] in one block, of which it sees the first `seen`;
// every value is 1.
float attended(const LayerOps& ops, const std::vector<float>& scores, int64_t seen) {
  std::vector<float> keys(kKeyBlock, 0.0f), values(kKeyBlock * kKeyBlock, 1.0f);
  std::copy(scores.begin(), scores.end(), keys.begin());
  alignas(64) float scratch[attend_scratch_floats(1, 1)];
  const float q = 1;
  float out = 0;
  AttendRows rows;
  rows.rows = 1;
  rows.q[0] = &q, rows.out[0] = &out, rows.end[0] = seen;
  rows.keys = keys.data(), rows.values = values.data(), rows.scratch = scratch;
  rows.head_dim = rows.value_dim = 1, rows.value_stride = kKeyBlock, rows.scale = 1;
  ops.attend[static_cast<size_t>(CacheType::f32)](rows);
  return out;
}

TEST(Kernels, AttentionOverScoresThatAreNoNumbersIsNan) {
  const float inf = std::numeric_limits<float>::infinity(), nan = std::nanf("");
  const std::vector<std::vector<float>> cases{{nan, 1}, {1, nan}, {inf, 1}, {1, inf}, {-inf, nan}};
  for (const LayerOps* ops : layer_ops()) {
    for (const std::vector<float>& scores : cases)
      EXPECT_TRUE(std::isnan(attended(*ops, scores, std::ssize(scores)))) << ops->name;
  }
}

// A row's vectors hold scores of later positions too, which may be e^88 times larger and more.
TEST(Kernels, PositionsThatARowDoesNotSeeAreNothingWhateverTheirScores) {
  const float inf = std::numeric_limits<float>::infinity();
  for (const LayerOps* ops : layer_ops()) {
    for (const float later : {100.0f, 1e5f, 1e20f, 3e38f, -3e38f, inf, -inf, std::nanf("")})
      EXPECT_EQ(attended(*ops, {1, 1, later}, 2), 1.0f) << ops->name << " " << later;
  }
}

// f64 holds the squares of any f32; sums in f32 that overflow must not look like a result.
TEST(Kernels, NormsWhoseSquaresOverflowAreNaN) {
  for (const LayerOps* ops : layer_ops()) {
    if (ops == &ref_layer_ops()) continue;
    for (const size_t n : {1, 16, 19}) {
      std::vector<float> x(n, 1.0f), rms(n), layer(n), gain(n, 1.0f);
      x[n / 2] = 1e30f;
      ops->rms_norm(x.data(), std::ssize(x), gain.data(), nullptr, 1e-5f, rms.data());
      ops->layer_norm(x.data(), std::ssize(x), gain.data(), nullptr, 1e-5f, layer.data());
      for (size_t i = 0; i < n; ++i) {
        EXPECT_TRUE(std::isnan(rms[i])) << ops->name << " " << i;
        // The one value of a row is its mean: nothing overflows.
        EXPECT_EQ(std::isnan(layer[i]), n > 1) << ops->name << " " << i;
      }
    }
  }
}

TEST(Kernels, NormsFollowTheirFormulas) {
  for (const LayerOps* ops : layer_ops()) {
    for (const int64_t width : {1, 3, 8, 15, 16, 17, 64, 100, 768}) {
      const auto n = static_cast<size_t>(width);
      const auto x = normal_values(n, 1), gain = normal_values(n, 2), bias = normal_values(n, 3);
      std::vector<float> rms(n), layer(n), plain = x;
      ops->rms_norm(x.data(), width, gain.data(), nullptr, 1e-5f, rms.data());
      ops->layer_norm(x.data(), width, gain.data(), bias.data(), 1e-5f, layer.data());
      ops->rms_norm(plain.data(), width, nullptr, nullptr, 1e-5f, plain.data());
      double mean = 0, squares = 0, variance = 0;
      for (const float v : x) mean += v / static_cast<double>(width);
      for (const float v : x) squares += static_cast<double>(v) * v / static_cast<double>(width);
      for (const float v : x) variance += (v - mean) * (v - mean) / static_cast<double>(width);
      for (size_t i = 0; i < n; ++i) {
        const double normal = x[i] / std::sqrt(squares + 1e-5);
        EXPECT_NEAR(plain[i], normal, 1e-6 * (1 + std::abs(normal))) << ops->name << width;
        EXPECT_NEAR(rms[i], normal * gain[i], 1e-5) << ops->name << " " << width;
        EXPECT_NEAR(layer[i], (x[i] - mean) / std::sqrt(variance + 1e-5) * gain[i] + bias[i], 2e-5)
            << ops->name << " " << width;
      }
    }
  }
}

// Everything a set computes of one row, in one vector.
std::vector<float> all_results(const LayerOps& ops, int64_t width) {
  const auto n = static_cast<size_t>(width);
  const auto x = normal_values(n, 1), gain = normal_values(n, 2), bias = normal_values(n, 3);
  std::vector<float> out(4 * n), gate = x;
  ops.rms_norm(x.data(), width, gain.data(), nullptr, 1e-5f, out.data());
  ops.layer_norm(x.data(), width, gain.data(), bias.data(), 1e-5f, out.data() + n);
  ops.gelu_tanh(width, gate.data());
  std::copy(gain.begin(), gain.end(), out.begin() + static_cast<ptrdiff_t>(2 * n));
  ops.silu_gate(gate.data(), width, out.data() + 2 * n);
  // One query over `width` positions of a head of 16.
  constexpr int64_t kHead = 16;
  const auto size = static_cast<size_t>((width + 15) / 16 * 16 * kHead);
  const auto keys = normal_values(size, 4), values = normal_values(size, 5);
  std::vector<float> scratch(static_cast<size_t>(attend_scratch_floats(kHead, kHead)) + 16),
      mixed(kHead);
  AttendRows a;
  a.rows = 1;
  a.q[0] = bias.data();
  if (width < kHead) return out;
  a.out[0] = mixed.data();
  a.begin[0] = width / 3;
  a.end[0] = width;
  a.keys = keys.data();
  a.values = values.data();
  a.head_dim = a.value_dim = a.value_stride = kHead;
  a.scale = 0.3f;
  void* place = scratch.data();
  size_t room = scratch.size() * 4;
  a.scratch = static_cast<float*>(std::align(64, room - 64, place, room));
  ops.attend[0](a);
  out.insert(out.end(), mixed.begin(), mixed.end());
  return out;
}

// int8 activations: a sum that is rounded otherwise moves codes, and with them a whole text.
TEST(Kernels, AllSetsButTheReferenceGiveTheSameBytes) {
  const auto sets = layer_ops();
  for (const int64_t width : {1, 7, 8, 9, 16, 17, 31, 48, 63, 64, 65, 100, 129, 300, 768}) {
    const auto expected = all_results(portable_layer_ops(), width);
    for (const LayerOps* ops : std::span(sets).subspan(1))
      EXPECT_EQ(all_results(*ops, width), expected) << ops->name << " " << width;
  }
}

TEST(Kernels, SumsTurnsAndHalvesAreTheReferences) {
  const LayerOps& ref = ref_layer_ops();
  for (const LayerOps* ops : layer_ops()) {
    for (const int64_t n : {1, 7, 16, 31, 32, 33, 96, 200}) {
      const auto size = static_cast<size_t>(n);
      std::vector<int8_t> codes(size);
      for (size_t i = 0; i < size; ++i) codes[i] = static_cast<int8_t>(i % 3 == 0 ? -127 : 127);
      for (const int64_t group : {int64_t{4}, int64_t{32}, n}) {
        std::vector<int32_t> sums(size, 7), expected(size, 7);
        ops->sum_codes(codes.data(), n, group, sums.data());
        ref.sum_codes(codes.data(), n, group, expected.data());
        EXPECT_EQ(sums, expected) << ops->name << " " << n << " " << group;
      }
      const auto cos = normal_values(size, 4), sin = normal_values(size, 5);
      auto turned = normal_values(2 * size, 6), expected = turned;
      ops->rotate(cos.data(), sin.data(), n, turned.data());
      ref.rotate(cos.data(), sin.data(), n, expected.data());
      for (size_t i = 0; i < turned.size(); ++i) EXPECT_NEAR(turned[i], expected[i], 1e-5);
      std::vector<float> x = normal_values(size, 8);
      x[0] = 1e9f;
      std::vector<uint16_t> halves(size), expected_halves(size);
      ops->to_f16(x.data(), n, halves.data());
      ref.to_f16(x.data(), n, expected_halves.data());
      EXPECT_EQ(halves, expected_halves) << ops->name << " " << n;
      constexpr float kInfinity = std::numeric_limits<float>::infinity();
      const float special[] = {kInfinity, -kInfinity, NAN, -0.0f, 1e-45f, 3.4028235e38f, 0x1.01p0f};
      for (size_t i = 0; i < std::min(size, std::size(special)); ++i) x[i] = special[i];
      ops->to_bf16(x.data(), n, halves.data());
      for (size_t i = 0; i < size; ++i)
        EXPECT_EQ(halves[i], f32_to_bf16(x[i])) << ops->name << " " << x[i];
    }
  }
}

}  // namespace
}  // namespace nibble
