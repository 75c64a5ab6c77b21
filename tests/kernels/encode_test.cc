// EncodeOps of every instruction set this processor has: the reference's bytes.
#include "nibble/kernels/encode.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "nibble/core/cpu.h"
#include "nibble/core/float_formats.h"
#include "nibble/core/random.h"

namespace nibble {
namespace {

// As far as NIBBLE_ISA and the processor allow.
std::vector<const EncodeOps*> all_ops() {
  std::vector<const EncodeOps*> out{&ref_encode_ops()};
#if defined(__x86_64__)
  if ((cpu().bits & kAvx2) != 0) out.push_back(&avx2_encode_ops());
  if ((cpu().bits & kAvx512) != 0) out.push_back(&avx512_encode_ops());
#endif
  return out;
}

constexpr int64_t kSizes[] = {1, 2, 7, 8, 15, 16, 17, 31, 32, 33, 64, 127, 128, 1000};

std::vector<float> normal(int64_t n) {
  PyRandom random(static_cast<uint64_t>(n));
  std::vector<float> out(static_cast<size_t>(n));
  for (float& v : out) v = static_cast<float>(random.gauss(0, 0.05));
  return out;
}

TEST(Encode, CodesAreTheReferencesBytes) {
  const EncodeGrid grids[] = {
      {0.013f, 8, -8, 7}, {0.0007f, 128, -128, 127}, {0.02f, 3, -3, 12},   {-0.013f, 8, -8, 7},
      {0, 5, -5, 10},     {0x1p-149f, 2, -2, 1},     {0.01f, 255, -255, 0}};
  for (const int64_t n : kSizes) {
    std::vector<float> x = normal(n);
    for (size_t i = 0; i < x.size(); i += 3) x[i] = 0.0065f * static_cast<float>(i % 7);  // halves
    x.back() = -0.0f;
    for (const EncodeGrid& grid : grids) {
      std::vector<uint8_t> wanted(x.size(), 0xEE);
      ref_encode_ops().encode(x.data(), n, grid, wanted.data());
      for (const EncodeOps* ops : all_ops()) {
        std::vector<uint8_t> got(x.size() + 1, 0xEE);
        ops->encode(x.data(), n, grid, got.data());
        EXPECT_EQ(got.back(), 0xEE) << ops->name << " wrote outside";
        got.pop_back();
        EXPECT_EQ(got, wanted) << ops->name << " n " << n << " scale " << grid.scale;
      }
    }
  }
}

TEST(Encode, ExtremesAreTheLeastAndTheLargestAndSayWhatIsNotFinite) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  for (const EncodeOps* ops : all_ops()) {
    for (const int64_t n : kSizes) {
      for (const float sign : {1.0f, -1.0f}) {  // all on one side: the range still holds 0
        std::vector<float> x = normal(n);
        for (float& v : x) v = sign * std::fabs(v);
        float low = 9, high = 9, wanted_low = 9, wanted_high = 9;
        EXPECT_TRUE(ref_encode_ops().extremes(x.data(), n, &wanted_low, &wanted_high));
        EXPECT_TRUE(ops->extremes(x.data(), n, &low, &high)) << ops->name;
        EXPECT_EQ(low, wanted_low) << ops->name << " n " << n;
        EXPECT_EQ(high, wanted_high) << ops->name << " n " << n;
        EXPECT_EQ(sign > 0 ? low : high, 0.0f);
        for (const float bad : {kInfinity, -kInfinity, kNan, -kNan}) {
          x[static_cast<size_t>(n / 2)] = bad;
          EXPECT_FALSE(ops->extremes(x.data(), n, &low, &high)) << ops->name << " n " << n;
        }
      }
    }
  }
}

TEST(Encode, EveryHalfBecomesItsFloat) {
  std::vector<uint16_t> halves;
  for (uint32_t h = 0; h < 0x10000; ++h) {
    if ((h & 0x7C00) != 0x7C00 || (h & 0x3FF) == 0) halves.push_back(static_cast<uint16_t>(h));
  }
  for (const EncodeOps* ops : all_ops()) {
    std::vector<float> got(halves.size());
    ops->widen_f16(halves.data(), std::ssize(halves), got.data());
    for (size_t i = 0; i < halves.size(); ++i) {
      ASSERT_EQ(got[i], f16_to_f32(halves[i])) << ops->name << " " << halves[i];
      ASSERT_EQ(std::signbit(got[i]), (halves[i] & 0x8000) != 0);
    }
  }
}

TEST(Encode, PacksTwoCodesAByte) {
  for (const EncodeOps* ops : all_ops()) {
    for (const int64_t n : kSizes) {
      std::vector<uint8_t> codes(static_cast<size_t>(n));
      for (size_t i = 0; i < codes.size(); ++i) codes[i] = static_cast<uint8_t>(i * 7 % 16);
      std::vector<uint8_t> got((codes.size() + 1) / 2 + 1, 0xEE);
      ops->pack4(codes.data(), n, got.data());
      for (size_t i = 0; i < codes.size(); ++i)
        EXPECT_EQ(got[i / 2] >> (i % 2 * 4) & 15, codes[i]) << ops->name << " code " << i;
      if (n % 2 != 0) {
        EXPECT_EQ(got[codes.size() / 2] >> 4, 0);
      }
      EXPECT_EQ(got.back(), 0xEE) << ops->name << " wrote outside";
    }
  }
}

}  // namespace
}  // namespace nibble
