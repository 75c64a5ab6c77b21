#include "nibble/core/float_formats.h"

#include <bit>

namespace nibble {
namespace {

// A binary float format of at most 16 bits: sign, exponent, mantissa.
struct Format {
  int mantissa;       // stored bits
  int bias;           // of the exponent
  uint32_t largest;   // code that a finite value may not exceed, without sign
  uint32_t overflow;  // code of what lies above
};
constexpr Format kF16{10, 15, 0x7BFF, 0x7C00};
constexpr Format kE4M3{3, 7, 0x7E, 0x7E};
constexpr Format kE5M2{2, 15, 0x7B, 0x7B};

constexpr uint32_t kF32Infinity = 0x7F800000;

// The code, without sign, of the finite or infinite f32 with the bits `a`, its sign removed.
uint32_t encode(uint32_t a, const Format& f) {
  // Zeros and f32's own subnormals lie far below half of any of these formats' smallest value.
  if (a < 0x00800000) return 0;
  const int exponent = static_cast<int>(a >> 23) - 127;
  const uint32_t mantissa = (a & 0x007FFFFF) | 0x00800000;
  const int below = 1 - f.bias - exponent;  // steps under the smallest normal exponent
  const int shift = 23 - f.mantissa + (below > 0 ? below : 0);
  if (shift > 24) return 0;
  const uint32_t kept = mantissa >> shift, rest = mantissa & ((1u << shift) - 1);
  const uint32_t half = 1u << (shift - 1);
  const uint32_t rounded = kept + (rest > half || (rest == half && (kept & 1) != 0) ? 1 : 0);
  // A carry out of the mantissa walks into the exponent, which is what it should do.
  const uint32_t code =
      below > 0 ? rounded : (static_cast<uint32_t>(exponent + f.bias - 1) << f.mantissa) + rounded;
  return code > f.largest ? f.overflow : code;
}

// The value of a finite code without sign.
float decode(uint32_t code, const Format& f) {
  const uint32_t exponent = code >> f.mantissa, mantissa = code & ((1u << f.mantissa) - 1);
  if (exponent == 0) {
    const auto unit = static_cast<uint32_t>(127 + 1 - f.bias - f.mantissa) << 23;
    return static_cast<float>(mantissa) * std::bit_cast<float>(unit);
  }
  const uint32_t wide = exponent + static_cast<uint32_t>(127 - f.bias);
  return std::bit_cast<float>(wide << 23 | mantissa << (23 - f.mantissa));
}

float with_sign(float magnitude, bool negative) {
  return std::bit_cast<float>(std::bit_cast<uint32_t>(magnitude) | (negative ? 1u << 31 : 0));
}

float nan_with(uint32_t payload) { return std::bit_cast<float>(kF32Infinity | payload); }

}  // namespace

uint16_t f32_to_f16(float x) {
  const auto bits = std::bit_cast<uint32_t>(x);
  const uint32_t a = bits & 0x7FFFFFFF, sign = bits >> 16 & 0x8000;
  // A NaN keeps the top of its payload and becomes quiet, as F16C does.
  const uint32_t code = a > kF32Infinity ? 0x7E00 | (a >> 13 & 0x3FF) : encode(a, kF16);
  return static_cast<uint16_t>(sign | code);
}

uint16_t f32_to_bf16(float x) {
  const auto bits = std::bit_cast<uint32_t>(x);
  if ((bits & 0x7FFFFFFF) > kF32Infinity) return static_cast<uint16_t>(bits >> 16 | 0x40);
  return static_cast<uint16_t>((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

uint8_t f32_to_e4m3(float x) {
  const auto bits = std::bit_cast<uint32_t>(x);
  const uint32_t a = bits & 0x7FFFFFFF, sign = bits >> 24 & 0x80;
  return static_cast<uint8_t>(sign | (a > kF32Infinity ? 0x7F : encode(a, kE4M3)));
}

float e4m3_to_f32(uint8_t bits) {
  const uint32_t code = bits & 0x7Fu;
  return with_sign(code == 0x7F ? nan_with(0x400000) : decode(code, kE4M3), bits >> 7 != 0);
}

uint8_t f32_to_e5m2(float x) {
  const auto bits = std::bit_cast<uint32_t>(x);
  const uint32_t a = bits & 0x7FFFFFFF, sign = bits >> 24 & 0x80;
  return static_cast<uint8_t>(sign | (a > kF32Infinity ? 0x7F : encode(a, kE5M2)));
}

float e5m2_to_f32(uint8_t bits) {
  const uint32_t code = bits & 0x7Fu;
  return with_sign(code >= 0x7C ? nan_with((code & 3) << 21) : decode(code, kE5M2), bits >> 7 != 0);
}

}  // namespace nibble
