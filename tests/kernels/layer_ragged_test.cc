// LayerOps on rows of every length around that of a vector: the elements by their formulas, and
// nothing before or behind them.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>

#include "nibble/core/float_formats.h"
#include "tests/kernels/layer_sets.h"
#include "tests/kernels/noise.h"

namespace nibble {
namespace {

constexpr int64_t kLengths[] = {1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 47, 65, 200};

// A row in guarded memory.
class GuardedRow {
 public:
  explicit GuardedRow(const std::vector<float>& x) : n_(x.size()), memory_(std::ssize(x) * 4) {
    std::memcpy(memory_.data(), x.data(), n_ * 4);
  }
  float* data() { return reinterpret_cast<float*>(memory_.data()); }
  std::vector<float> values() { return {data(), data() + n_}; }
  bool intact() const { return memory_.intact(); }

 private:
  size_t n_;
  Guarded memory_;
};

using Work = std::function<void(const LayerOps&, int64_t n, float* x)>;

// All sets do a work in place on rows of every length, within them; all but the reference alike.
void expect_rows(const Work& work, double tolerance) {
  for (const int64_t n : kLengths) {
    const std::vector<float> x = normal_values(static_cast<size_t>(n), 11);
    std::vector<float> expected, bytes;
    for (const LayerOps* ops : layer_ops()) {
      GuardedRow row(x);
      work(*ops, n, row.data());
      EXPECT_TRUE(row.intact()) << ops->name << " " << n;
      const std::vector<float> found = row.values();
      if (expected.empty()) expected = found;  // the reference comes first
      for (size_t i = 0; i < found.size(); ++i)
        EXPECT_NEAR(found[i], expected[i], tolerance * (1 + std::abs(expected[i])))
            << ops->name << " " << n << " " << i;
      if (ops == &ref_layer_ops()) continue;
      if (bytes.empty()) bytes = found;
      EXPECT_EQ(found, bytes) << ops->name << " " << n;
    }
  }
}

TEST(Kernels, RowsOfEveryLengthAreDoneAndNoMore) {
  const std::vector<float> other = normal_values(200, 12), more = normal_values(200, 13);
  expect_rows([](const LayerOps& ops, int64_t n, float* x) { ops.relu(n, x); }, 0);
  expect_rows([](const LayerOps& ops, int64_t n, float* x) { ops.gelu_tanh(n, x); }, 2e-6);
  expect_rows([](const LayerOps& ops, int64_t n, float* x) { ops.soft_cap(3.0f, n, x); }, 2e-6);
  expect_rows([&](const LayerOps& ops, int64_t n, float* x) { ops.silu_gate(other.data(), n, x); },
              2e-6);
  expect_rows(
      [&](const LayerOps& ops, int64_t n, float* x) { ops.sigmoid_gate(other.data(), n, x); },
      2e-6);
  // Keys of 3: the state stands in the row itself, what is read of it in the last part.
  expect_rows(
      [&](const LayerOps& ops, int64_t n, float* x) {
        const int64_t width = n / 4;
        ops.delta(
            {other.data(), more.data(), other.data() + 3, 3, width, 0.9f, 0.4f, x, x + 3 * width});
      },
      2e-6);
  expect_rows([&](const LayerOps& ops, int64_t n,
                  float* x) { ops.rms_norm(x, n, other.data(), more.data(), 1e-5f, x); },
              1e-5);
  expect_rows([&](const LayerOps& ops, int64_t n,
                  float* x) { ops.layer_norm(x, n, nullptr, more.data(), 1e-5f, x); },
              2e-5);
  expect_rows(
      [&](const LayerOps& ops, int64_t n, float* x) {
        // Of an odd row the last element stays as it is.
        ops.rotate(other.data(), more.data(), n / 2, x);
      },
      1e-6);
}

TEST(Kernels, SoftCapFollowsItsFormulaOverTheWholeRange) {
  std::vector<float> x = {0.0f, -0.0f, 1e-30f, 1e-4f, -1e-4f, 1e6f, -1e6f, 3e38f, -3e38f};
  for (int i = -500; i <= 500; ++i) x.push_back(static_cast<float>(i) * 0.37f);
  for (const float cap : {1.0f, 30.0f, 50.0f}) {
    for (const LayerOps* ops : layer_ops()) {
      std::vector<float> capped = x;
      ops->soft_cap(cap, std::ssize(x), capped.data());
      for (size_t i = 0; i < x.size(); ++i) {
        const double expected = double{cap} * std::tanh(double{x[i]} / cap);
        // Four roundings of numbers up to 1.
        EXPECT_NEAR(capped[i], expected, cap * 0x1p-22) << ops->name << " " << x[i];
        EXPECT_LE(std::abs(capped[i]), cap) << ops->name << " " << x[i];
      }
    }
  }
}

TEST(Kernels, SoftCapKeepsNanAndEndsAtInfinity) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  for (const LayerOps* ops : layer_ops()) {
    std::vector<float> x(19, 1.0f);
    x[3] = std::nanf(""), x[17] = kInfinity, x[18] = -kInfinity;
    ops->soft_cap(30.0f, 19, x.data());
    EXPECT_TRUE(std::isnan(x[3])) << ops->name;
    EXPECT_EQ(x[17], 30.0f) << ops->name;
    EXPECT_EQ(x[18], -30.0f) << ops->name;
  }
}

TEST(Kernels, HalvesOfEveryLengthAreWrittenAndNoMore) {
  for (const LayerOps* ops : layer_ops()) {
    for (const int64_t n : kLengths) {
      const std::vector<float> x = normal_values(static_cast<size_t>(n), 14);
      Guarded f16(n * 2), bf16(n * 2);
      ops->to_f16(x.data(), n, reinterpret_cast<uint16_t*>(f16.data()));
      ops->to_bf16(x.data(), n, reinterpret_cast<uint16_t*>(bf16.data()));
      EXPECT_TRUE(f16.intact() && bf16.intact()) << ops->name << " " << n;
      for (size_t i = 0; i < x.size(); ++i) {
        uint16_t half = 0, brain = 0;
        std::memcpy(&half, f16.data() + 2 * i, 2);
        std::memcpy(&brain, bf16.data() + 2 * i, 2);
        EXPECT_EQ(half, f32_to_f16(x[i])) << ops->name << " " << n << " " << i;
        EXPECT_EQ(brain, f32_to_bf16(x[i])) << ops->name << " " << n << " " << i;
      }
    }
  }
}

TEST(Kernels, SumsOfCodesTakeShortLastGroups) {
  for (const LayerOps* ops : layer_ops()) {
    for (const int64_t k : kLengths) {
      for (const int64_t group : {int64_t{1}, int64_t{5}, int64_t{16}, int64_t{32}, k}) {
        std::vector<int8_t> codes(static_cast<size_t>(k));
        for (size_t i = 0; i < codes.size(); ++i)
          codes[i] = static_cast<int8_t>(static_cast<int>(i * 89 % 256) - 128);
        const int64_t groups = (k + group - 1) / group;
        Guarded sums(groups * 4);
        ops->sum_codes(codes.data(), k, group, reinterpret_cast<int32_t*>(sums.data()));
        EXPECT_TRUE(sums.intact()) << ops->name << " " << k << " " << group;
        for (int64_t g = 0; g < groups; ++g) {
          int32_t expected = 0, found = 0;
          for (int64_t i = g * group; i < std::min((g + 1) * group, k); ++i)
            expected += codes[static_cast<size_t>(i)];
          std::memcpy(&found, sums.data() + 4 * g, 4);
          EXPECT_EQ(found, expected) << ops->name << " " << k << " " << group << " " << g;
        }
      }
    }
  }
}

}  // namespace
}  // namespace nibble
