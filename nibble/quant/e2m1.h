// E2M1, a float of 4 bits: 0, 0.5, 1, 1.5, 2, 3, 4, 6 with a sign bit (OCP Microscaling Formats
// 1.0).
#pragma once

#include <cstdint>
#include <span>

namespace nibble {

inline constexpr float kE2m1Largest = 6;

/// The values of the 16 codes.
std::span<const float> e2m1_values();

/// How values in the middle are rounded: to the even code (OCP), or to the smaller magnitude with 0
/// always positive, as GGUF's MXFP4 encoder does.
enum class E2m1Ties { even, smaller };
uint8_t f32_to_e2m1(float x, E2m1Ties ties);

/// codes[i] = the code of the value nearest to x[i], ties to the even one.
void nearest_e2m1(std::span<const float> x, std::span<uint8_t> codes);

/// E8M0, the scale of a block (OCP MX): 2^(code - 127); code 255 is NaN.
float e8m0_to_f32(uint8_t code);
/// The code of the scale for a block of E2M1 with this largest magnitude: the power of two that
/// brings it near 4, after rounding it to two bits behind its first, so that 7 becomes 8 instead of
/// being cut to 6 (compressed-tensors). 0 for a block of zeros.
uint8_t e8m0_of_block(float largest);

}  // namespace nibble
