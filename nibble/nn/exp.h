// exp() in a form that compilers turn into vector code: no call, no branch.
#pragma once

#include <bit>
#include <cstdint>

namespace nibble {

/// e^x to 2 units in the last place. Beyond the range of normal f32 numbers the nearest normal one
/// (so never 0 and never infinite); NaN stays NaN. e^x = 2^n e^r with n = round(x / ln 2) and
/// |r| <= ln 2 / 2, where Taylor's polynomial of degree 7 is good enough (Cody and Waite 1980 for
/// the two parts of ln 2).
inline float exp_fast(float x) {
  constexpr float kLog2E = 1.44269504f, kLn2High = 0.693359375f, kLn2Low = -2.12194440e-4f;
  constexpr float kRounder = 12582912.0f;  // 1.5 * 2^23: adding it rounds to a whole number
  x = x < -87.33654f ? -87.33654f : x;
  x = x > 88.37f ? 88.37f : x;
  const float shifted = x * kLog2E + kRounder;
  const float n = shifted - kRounder;
  const float r = (x - n * kLn2High) - n * kLn2Low;
  float p = 1.0f / 5040;
  p = p * r + 1.0f / 720;
  p = p * r + 1.0f / 120;
  p = p * r + 1.0f / 24;
  p = p * r + 1.0f / 6;
  p = p * r + 0.5f;
  p = p * r * r + r + 1.0f;
  const uint32_t exponent = std::bit_cast<uint32_t>(shifted) - std::bit_cast<uint32_t>(kRounder);
  return p * std::bit_cast<float>((exponent + 127u) << 23);
}

}  // namespace nibble
