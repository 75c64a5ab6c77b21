// 256-bit vectors as gemm_a8.inc and gemm_float.inc want them (all but dot()), for AVX2 and what
// builds on it.
// Everything has internal linkage, so that no copy compiled for one instruction set serves another.
#pragma once

#include <immintrin.h>

#include "nibble/kernels/slabs.h"

namespace nibble {
namespace {

constexpr int kLanes = 8;
using I = __m256i;
using F = __m256;

inline I load_codes(const uint8_t* p) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
}
inline void store_codes(uint8_t* p, I v) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), v); }
inline I set(int x) { return _mm256_set1_epi32(x); }
inline I bytes_of(int x) { return _mm256_set1_epi8(static_cast<char>(x)); }
inline I logical_and(I a, I b) { return _mm256_and_si256(a, b); }
inline I logical_or(I a, I b) { return _mm256_or_si256(a, b); }
template <int kBy>
inline I shift_right(I v) {
  return _mm256_srli_epi32(v, kBy);
}
template <int kBy>
inline I shift_left(I v) {
  return _mm256_slli_epi32(v, kBy);
}
inline I four_codes(const int8_t* x) {
  int four;
  __builtin_memcpy(&four, x, 4);
  return _mm256_set1_epi32(four);
}
// Byte j of every lane.
template <int kJ>
inline I byte_of(I v) {
  if constexpr (kJ == 3) return _mm256_srli_epi32(v, 24);
  if constexpr (kJ > 0) v = _mm256_srli_epi32(v, 8 * kJ);
  return _mm256_and_si256(v, _mm256_set1_epi32(0xFF));
}
inline I multiply(I a, I b) { return _mm256_mullo_epi32(a, b); }
inline I load_zeros(const uint8_t* p) {
  return _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
}
inline I load_signed(const uint8_t* p) {
  return _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
}
inline F zero_f() { return _mm256_setzero_ps(); }
inline F set_f(float x) { return _mm256_set1_ps(x); }
inline F to_float(I v) { return _mm256_cvtepi32_ps(v); }
inline F load_f(const float* p) { return _mm256_loadu_ps(p); }
inline void store_f(float* p, F v) { _mm256_storeu_ps(p, v); }
inline F fma(F a, F b, F c) { return _mm256_fmadd_ps(a, b, c); }
inline F mul(F a, F b) { return _mm256_mul_ps(a, b); }
inline F add(F a, F b) { return _mm256_add_ps(a, b); }
inline F sub(F a, F b) { return _mm256_sub_ps(a, b); }
inline F from_f16(const uint8_t* p) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
inline F from_bf16(const uint8_t* p) {
  const __m128i raw = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(raw), 16));
}
inline F load_scales(const uint8_t* scales, ScaleType type, int64_t at) {
  if (type == ScaleType::f32) return _mm256_loadu_ps(reinterpret_cast<const float*>(scales) + at);
  return type == ScaleType::f16 ? from_f16(scales + at * 2) : from_bf16(scales + at * 2);
}
inline __m256i first(int64_t n) {
  const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(n > 8 ? 8 : static_cast<int>(n)), lane);
}
inline F load_first(const float* p, int64_t n) {
  return n >= kLanes ? _mm256_loadu_ps(p) : _mm256_maskload_ps(p, first(n));
}
inline void store_first(float* p, int64_t n, F v) {
  n >= kLanes ? _mm256_storeu_ps(p, v) : _mm256_maskstore_ps(p, first(n), v);
}
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
