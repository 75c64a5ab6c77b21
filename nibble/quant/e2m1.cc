#include "nibble/quant/e2m1.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>

namespace nibble {
namespace {

constexpr std::array<float, 8> kE2m1 = {0, 0.5f, 1, 1.5f, 2, 3, 4, kE2m1Largest};

std::array<float, 16> make_e2m1() {
  std::array<float, 16> out;
  for (size_t i = 0; i < 8; ++i) {
    out[i] = kE2m1[i];
    out[i + 8] = -kE2m1[i];
  }
  return out;
}

}  // namespace

std::span<const float> e2m1_values() {
  static const std::array<float, 16> kSigned = make_e2m1();
  return kSigned;
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

void nearest_e2m1(std::span<const float> x, std::span<uint8_t> codes) {
  std::transform(x.begin(), x.end(), codes.begin(),
                 [](float v) { return f32_to_e2m1(v, E2m1Ties::even); });
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
