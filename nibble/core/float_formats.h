// Conversions between f32 and the narrower float formats: round to nearest even; fp8 saturates to
// its largest finite value (OCP OFP8 1.0, saturating mode), f16 and bf16 overflow to infinity as
// IEEE 754 says.
#pragma once

#include <bit>
#include <cstdint>
#include <span>

#include "nibble/core/tensor.h"

namespace nibble {

uint16_t f32_to_f16(float x);
/// Without branches, so that loops of it become vector code.
inline float f16_to_f32(uint16_t bits) {
  const auto magnitude = static_cast<int32_t>((bits & 0x7FFFu) << 13);
  const uint32_t sign = (bits & 0x8000u) << 16;
  const auto normal = static_cast<uint32_t>(magnitude + (112 << 23));
  const auto small =
      std::bit_cast<uint32_t>(std::bit_cast<float>(magnitude + (113 << 23)) - 0x1p-14f);
  const uint32_t is_small = 0u - static_cast<uint32_t>(magnitude < (1 << 23));
  const uint32_t value = (small & is_small) | (normal & ~is_small);
  const uint32_t infinite = 0x7F800000u & (0u - static_cast<uint32_t>(magnitude >= (31 << 23)));
  return std::bit_cast<float>(value | infinite | sign);
}
uint16_t f32_to_bf16(float x);
inline float bf16_to_f32(uint16_t bits) { return std::bit_cast<float>(uint32_t{bits} << 16); }
/// E4M3FN: no infinities, one NaN per sign (0x7F, 0xFF), largest 448. Infinities saturate, NaN
/// stays NaN.
uint8_t f32_to_e4m3(float x);
float e4m3_to_f32(uint8_t bits);
/// E5M2: infinities exist when decoding; encoding saturates to 57,344.
uint8_t f32_to_e5m2(float x);
float e5m2_to_f32(uint8_t bits);

/// A float tensor (f64, f32, f16, bf16, fp8) as another float dtype. Error{unsupported} for
/// integers.
Tensor convert(const Tensor& x, DType to);
/// The elements of a float tensor as f32, into memory of the caller's; out.size() == x.elements().
void to_f32(const Tensor& x, std::span<float> out);

/// True for an f16, bf16 or f32 tensor without NaN and infinity, by the exponents alone (converting
/// each element would take longer). Of other types it says nothing: false.
bool plainly_finite(const Tensor& x);

/// Throws Error{corrupt} "row r col c is NaN (n such values)" where a float tensor holds NaN or an
/// infinity.
void refuse_nonfinite(const Tensor& x, std::string_view name);

}  // namespace nibble
