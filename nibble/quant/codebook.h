// Codebooks: number types whose codes name values of a table instead of steps of a grid. A weight
// is table[code] * scale, rounded once to f32.
//
//   nf4       quantiles of a normal distribution (Dettmers et al., QLoRA, 2023)
//   fp4       the 4-bit float of bitsandbytes, scaled so that its largest value is 1
//   mxfp4,    E2M1: 0, 0.5, 1, 1.5, 2, 3, 4, 6 with a sign bit (OCP Microscaling Formats 1.0)
//   nvfp4
//   fp8_*     the 256 values of E4M3FN and E5M2 (OCP OFP8 1.0)
#pragma once

#include <cstdint>
#include <span>

#include "nibble/quant/scheme.h"

namespace nibble {

/// The values of the codes in order: 16, or 256 for fp8, of which some are not finite. Only for
/// types where QuantScheme::has_codebook() is true.
std::span<const float> codebook(NumberType type);

/// What the 256 bytes of a scale stand for, before any super scale: E8M0 of mxfp4, E4M3 of nvfp4,
/// the dynamic map of doubly quantized nf4 and fp4. For other types a broken promise.
std::span<const float> scale_values(NumberType type);

/// codes[i] = the code of the value nearest to x[i]. Ties of nf4 and fp4 go to the lower value, as
/// bitsandbytes has it; those of E2M1 and fp8 to the even code. What lies beyond the table becomes
/// its end. x holds no NaN.
void nearest_codes(NumberType type, std::span<const float> x, std::span<uint8_t> codes);

/// How E2M1 rounds values in the middle: to the even code (OCP), or to the smaller magnitude with 0
/// always positive, as GGUF's MXFP4 encoder does.
enum class E2m1Ties { even, smaller };
uint8_t f32_to_e2m1(float x, E2m1Ties ties);

/// E8M0, the scale of a block of mxfp4: 2^(code - 127); code 255 is NaN.
float e8m0_to_f32(uint8_t code);
/// The code of the scale for a block with this largest magnitude: the power of two that brings it
/// near 4, after rounding it to two bits behind its first, so that 7 becomes 8 instead of being cut
/// to 6 (compressed-tensors). 0 for a block of zeros.
uint8_t e8m0_of_block(float largest);

}  // namespace nibble
