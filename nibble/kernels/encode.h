// EncodeOps: the inner loops of rounding weights to nearest. Raw pointers in, raw pointers out; a
// set of them for each instruction set, all of which give the same bytes.
#pragma once

#include <cstdint>

namespace nibble {

/// What one group of weights is rounded with: code = clamp(round(x / scale), low, high) + zero,
/// halves to even; `zero` where the scale is 0. low + zero >= 0, high + zero <= 255.
struct EncodeGrid {
  float scale = 0;
  int32_t zero = 0;
  float low = 0, high = 0;
};

struct EncodeOps {
  const char* name;
  void (*widen_f16)(const uint16_t* x, int64_t n, float* out);
  /// The least and the largest of n values and 0. False where one of them is NaN or infinite: low
  /// and high then mean nothing.
  bool (*extremes)(const float* x, int64_t n, float* low, float* high);
  void (*encode)(const float* x, int64_t n, const EncodeGrid& grid, uint8_t* codes);
  /// Two 4-bit codes a byte, the first in the low half; an odd last one alone.
  void (*pack4)(const uint8_t* codes, int64_t n, uint8_t* out);
};

const EncodeOps& ref_encode_ops();
const EncodeOps& avx2_encode_ops();
const EncodeOps& avx512_encode_ops();
/// The fastest set that the processor and NIBBLE_ISA allow.
const EncodeOps& best_encode_ops();

}  // namespace nibble
