// Rows of x as int8 codes: every kernel gives the reference's bytes.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "nibble/core/checked.h"
#include "nibble/kernels/kernels.h"
#include "tests/kernels/noise.h"

namespace nibble {
namespace {

constexpr int64_t kRowExtents[] = {1,  2,  3,  5,  7,   8,   15,  16, 17,
                                   31, 33, 63, 96, 127, 129, 192, 255};

std::vector<float> hard_row(int64_t k, int kind) {
  Noise noise(static_cast<uint64_t>(k * 7 + kind));
  std::vector<float> x(static_cast<size_t>(k));
  for (float& v : x) v = noise.real();
  const auto at = static_cast<size_t>(noise.next()) % x.size();
  if (kind == 1) std::fill(x.begin(), x.end(), -0.0f);
  if (kind == 2) x[at] = std::numeric_limits<float>::quiet_NaN();
  if (kind == 3) x[at] = -std::numeric_limits<float>::infinity();
  if (kind == 4) x[at] = 3e38f;
  if (kind == 5) {
    for (float& v : x) v *= 1e-38f;
  }
  if (kind == 6) {
    for (float& v : x) v *= 1e-43f;
  }
  if (kind == 7) {  // ties: halves of the step, which is 1
    for (float& v : x) v = std::nearbyint(v * 253) / 2;
    x[at] = 127;
  }
  return x;
}

TEST(Kernels, RowsAreQuantizedToTheReferencesBytes) {
  const Kernel* reference = nullptr;
  for (const Kernel* k : kernels()) {
    if (k->quantize_rows != nullptr && k->isa == KernelIsa::ref) reference = k;
  }
  ASSERT_NE(reference, nullptr);
  for (const Kernel* kernel : kernels()) {
    if (kernel->quantize_rows == nullptr || !can_run(*kernel)) continue;
    for (const int64_t k : kRowExtents) {
      const int64_t stride = ceil_div(k, kCodePadding) * kCodePadding;
      std::vector<float> x;
      for (int kind = 0; kind < 8; ++kind) {
        const auto row = hard_row(k, kind);
        x.insert(x.end(), row.begin(), row.end());
      }
      std::vector<int8_t> expected(static_cast<size_t>(8 * stride), 99);
      std::vector<float> scales(8), got_scales(8);
      reference->quantize_rows(x.data(), 8, k, k, expected.data(), stride, scales.data());
      Guarded got(8 * stride);
      kernel->quantize_rows(x.data(), 8, k, k, reinterpret_cast<int8_t*>(got.data()), stride,
                            got_scales.data());
      EXPECT_EQ(std::memcmp(got.data(), expected.data(), expected.size()), 0)
          << kernel->name << " k " << k;
      EXPECT_EQ(std::memcmp(scales.data(), got_scales.data(), scales.size() * sizeof(float)), 0)
          << kernel->name;
      EXPECT_TRUE(got.intact()) << kernel->name;
      EXPECT_TRUE(std::isnan(scales[2]) && std::isinf(scales[3]) && scales[1] == 0);
    }
  }
}

TEST(Kernels, TiesOfRowsGoToEven) {
  const std::vector<float> x{127, 0.5f, 1.5f, 2.5f, -0.5f, -1.5f, -126.5f};
  std::vector<int8_t> codes(64, 1);
  float scale = 0;
  choose_quantize_rows().quantize_rows(x.data(), 1, 7, 7, codes.data(), 64, &scale);
  EXPECT_EQ(scale, 1.0f);
  codes.resize(8);
  EXPECT_EQ(codes, (std::vector<int8_t>{127, 0, 2, 2, 0, -2, -126, 0}));
}

}  // namespace
}  // namespace nibble
