#include "nibble/quant/codebook.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <vector>

#include "nibble/core/error.h"
#include "nibble/core/float_formats.h"
#include "nibble/quant/nested_scales.h"

namespace nibble {
namespace {

constexpr std::array<float, 16> kNf4 = {
    -1.0f,
    -0.6961928009986877f,
    -0.5250730514526367f,
    -0.39491748809814453f,
    -0.28444138169288635f,
    -0.18477343022823334f,
    -0.09105003625154495f,
    0.0f,
    0.07958029955625534f,
    0.16093020141124725f,
    0.24611230194568634f,
    0.33791524171829224f,
    0.44070982933044434f,
    0.5626170039176941f,
    0.7229568362236023f,
    1.0f,
};
constexpr std::array<float, 8> kE2m1 = {0, 0.5f, 1, 1.5f, 2, 3, 4, 6};
constexpr std::array<float, 8> kFp4Twelfths = {0, 0.0625f, 8, 12, 4, 6, 2, 3};

std::array<float, 16> fp4() {
  std::array<float, 16> out;
  for (size_t i = 0; i < 8; ++i) {
    out[i] = kFp4Twelfths[i] / 12;
    out[i + 8] = i == 0 ? 0.0f : -out[i];  // bitsandbytes has no negative zero
  }
  return out;
}

std::array<float, 16> e2m1() {
  std::array<float, 16> out;
  for (size_t i = 0; i < 8; ++i) {
    out[i] = kE2m1[i];
    out[i + 8] = -kE2m1[i];
  }
  return out;
}

std::array<float, 256> all_codes(float (*decode)(uint8_t)) {
  std::array<float, 256> out;
  for (size_t i = 0; i < 256; ++i) out[i] = decode(static_cast<uint8_t>(i));
  return out;
}

// A table in ascending order: a value's rank is the number of midpoints below it.
struct Ranks {
  std::array<float, 15> middle;
  std::array<uint8_t, 16> code;
};

Ranks rank(std::span<const float> table) {
  Ranks out;
  std::vector<uint8_t> order;
  for (uint8_t i = 0; i < 16; ++i) order.push_back(i);
  const auto below = [&](uint8_t a, uint8_t b) { return table[a] < table[b]; };
  std::stable_sort(order.begin(), order.end(), below);
  // Of two codes for zero only the first is used.
  const auto same = [&](uint8_t a, uint8_t b) { return table[a] == table[b]; };
  order.erase(std::unique(order.begin(), order.end(), same), order.end());
  out.middle.fill(INFINITY);
  for (size_t i = 0; i < order.size(); ++i) {
    out.code[i] = order[i];
    if (i > 0) out.middle[i - 1] = (table[order[i - 1]] + table[order[i]]) / 2;
  }
  return out;
}

void nearest_by_rank(const Ranks& ranks, std::span<const float> x, std::span<uint8_t> codes) {
  for (size_t i = 0; i < x.size(); ++i) {
    unsigned above = 0;
    for (const float middle : ranks.middle) above += x[i] > middle ? 1 : 0;
    codes[i] = ranks.code[above];
  }
}

}  // namespace

std::span<const float> codebook(NumberType type) {
  static const std::array<float, 16> kFp4 = fp4(), kSigned = e2m1();
  static const std::array<float, 256> kE4m3 = all_codes(e4m3_to_f32),
                                      kE5m2 = all_codes(e5m2_to_f32);
  switch (type) {
    case NumberType::nf4:
      return kNf4;
    case NumberType::fp4:
      return kFp4;
    case NumberType::mxfp4:
    case NumberType::nvfp4:
      return kSigned;
    case NumberType::fp8_e4m3:
      return kE4m3;
    case NumberType::fp8_e5m2:
      return kE5m2;
    default:
      NIBBLE_CHECK(false);
      return {};
  }
}

std::span<const float> scale_values(NumberType type) {
  static const std::array<float, 256> kPowers = all_codes(e8m0_to_f32);
  if (type == NumberType::mxfp4) return kPowers;
  if (type == NumberType::nvfp4) return codebook(NumberType::fp8_e4m3);
  NIBBLE_CHECK(type == NumberType::nf4 || type == NumberType::fp4);
  return dynamic_map();
}

void nearest_codes(NumberType type, std::span<const float> x, std::span<uint8_t> codes) {
  NIBBLE_CHECK(x.size() == codes.size());
  static const Ranks kNf4Ranks = rank(kNf4), kFp4Ranks = rank(codebook(NumberType::fp4));
  const auto each = [&](auto encode) { std::transform(x.begin(), x.end(), codes.begin(), encode); };
  switch (type) {
    case NumberType::nf4:
      return nearest_by_rank(kNf4Ranks, x, codes);
    case NumberType::fp4:
      return nearest_by_rank(kFp4Ranks, x, codes);
    case NumberType::fp8_e4m3:
      return each(f32_to_e4m3);
    case NumberType::fp8_e5m2:
      return each(f32_to_e5m2);
    default:
      return each([](float v) { return f32_to_e2m1(v, E2m1Ties::even); });
  }
}

uint8_t f32_to_e2m1(float x, E2m1Ties ties) {
  const float a = std::fabs(x);
  const bool even = ties == E2m1Ties::even;
  // Where the lower of two neighbours is odd, a tie goes up to the even one.
  const auto up = [&](float middle) { return (even ? a >= middle : a > middle) ? 1 : 0; };
  const int magnitude =
      (a > 0.25f) + up(0.75f) + (a > 1.25f) + up(1.75f) + (a > 2.5f) + up(3.5f) + (a > 5.0f);
  const bool negative = std::signbit(x) && (even || magnitude > 0);
  return static_cast<uint8_t>(magnitude | (negative ? 8 : 0));
}

float e8m0_to_f32(uint8_t code) {
  if (code == 255) return NAN;
  return code == 0 ? 0x1p-127f : std::bit_cast<float>(uint32_t{code} << 23);
}

uint8_t e8m0_of_block(float largest) {
  const uint32_t rounded = std::bit_cast<uint32_t>(std::fabs(largest)) + (1u << 21);
  const int exponent = static_cast<int>(rounded >> 23) - 2;
  return static_cast<uint8_t>(std::clamp(exponent, 0, 254));
}

}  // namespace nibble
