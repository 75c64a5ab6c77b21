// 512-bit vectors as gemm_a8.inc and gemm_float.inc want them (all but spread() and dot()), for
// AVX-512 and what builds on it.
// Everything has internal linkage, so that no copy compiled for one instruction set serves another.
#pragma once

#include <immintrin.h>

#include "nibble/kernels/slabs.h"

namespace nibble {
namespace {

constexpr int kLanes = 16;
using I = __m512i;
using F = __m512;

inline I load_codes(const uint8_t* p) { return _mm512_loadu_si512(p); }
inline void store_codes(uint8_t* p, I v) { _mm512_storeu_si512(p, v); }
inline I set(int x) { return _mm512_set1_epi32(x); }
inline I bytes_of(int x) { return _mm512_set1_epi8(static_cast<char>(x)); }
inline I logical_and(I a, I b) { return _mm512_and_si512(a, b); }
inline I logical_or(I a, I b) { return _mm512_or_si512(a, b); }
template <int kBy>
inline I shift_right(I v) {
  return _mm512_srli_epi32(v, kBy);
}
template <int kBy>
inline I shift_left(I v) {
  return _mm512_slli_epi32(v, kBy);
}
// Byte j of every lane.
template <int kJ>
inline I byte_of(I v) {
  if constexpr (kJ == 3) return _mm512_srli_epi32(v, 24);
  if constexpr (kJ > 0) v = _mm512_srli_epi32(v, 8 * kJ);
  return _mm512_and_si512(v, _mm512_set1_epi32(0xFF));
}
inline I multiply(I a, I b) { return _mm512_mullo_epi32(a, b); }
inline I subtract(I a, I b) { return _mm512_sub_epi32(a, b); }
inline I load_zeros(const uint8_t* p) {
  return _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
inline I load_signed(const uint8_t* p) {
  return _mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
inline F zero_f() { return _mm512_setzero_ps(); }
inline F set_f(float x) { return _mm512_set1_ps(x); }
inline F to_float(I v) { return _mm512_cvtepi32_ps(v); }
inline F load_f(const float* p) { return _mm512_loadu_ps(p); }
inline void store_f(float* p, F v) { _mm512_storeu_ps(p, v); }
inline F fma(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }
inline F mul(F a, F b) { return _mm512_mul_ps(a, b); }
inline F add(F a, F b) { return _mm512_add_ps(a, b); }
inline F sub(F a, F b) { return _mm512_sub_ps(a, b); }
inline F from_f16(const uint8_t* p) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
inline F from_bf16(const uint8_t* p) {
  const __m256i raw = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(raw), 16));
}
inline F load_scales(const uint8_t* scales, ScaleType type, int64_t at) {
  if (type == ScaleType::f32) return _mm512_loadu_ps(scales + at * 4);
  return type == ScaleType::f16 ? from_f16(scales + at * 2) : from_bf16(scales + at * 2);
}
inline __mmask16 first(int64_t n) {
  return n >= 16 ? 0xFFFF : static_cast<__mmask16>((1u << n) - 1);
}
inline F load_first(const float* p, int64_t n) { return _mm512_maskz_loadu_ps(first(n), p); }
inline void store_first(float* p, int64_t n, F v) { _mm512_mask_storeu_ps(p, first(n), v); }
// The lines that a row alone will want some microseconds from now. GCC 12 drops calls of functions
// that do nothing else, unless they are inlined from the start.
template <int kLines>
inline __attribute__((always_inline)) void prefetch(const uint8_t* p) {
#pragma GCC unroll 32
  for (int i = 0; i < kLines; ++i)
    _mm_prefetch(reinterpret_cast<const char*>(p + 6144 + i * 64), _MM_HINT_T0);
}

}  // namespace
}  // namespace nibble
