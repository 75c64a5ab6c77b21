// Codes times int8 rows by vpdpbusd on 512-bit vectors: unsigned codes times signed x codes,
// without saturation. The zero point is taken off by the sum of the row's codes.
#include <immintrin.h>

#include "nibble/kernels/slabs.h"

namespace nibble {
namespace {

constexpr int kLanes = 16, kRowTile = 6, kVectorTile = 4, kOneRowVectors = 4;
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
template <bool kBytes>
inline I spread(const int8_t* x) {
  int four;
  __builtin_memcpy(&four, x, 4);
  return _mm512_set1_epi32(four);
}
template <bool kBytes>
inline I dot(I acc, I w, I x) {
  // Not the intrinsic: around it GCC 12 copies every sum from register to register and to memory.
  asm("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(w), "v"(x));
  return acc;
}
inline I multiply(I a, I b) { return _mm512_mullo_epi32(a, b); }
inline I load_zeros(const uint8_t* p) {
  return _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
inline F zero_f() { return _mm512_setzero_ps(); }
inline F set_f(float x) { return _mm512_set1_ps(x); }
inline F to_float(I v) { return _mm512_cvtepi32_ps(v); }
inline F load_f(const float* p) { return _mm512_loadu_ps(p); }
inline void store_f(float* p, F v) { _mm512_storeu_ps(p, v); }
inline F fma(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }
inline F mul(F a, F b) { return _mm512_mul_ps(a, b); }
inline F add(F a, F b) { return _mm512_add_ps(a, b); }
inline F load_scales(const uint8_t* scales, ScaleType type, int64_t at) {
  if (type == ScaleType::f32) return _mm512_loadu_ps(scales + at * 4);
  const __m256i raw = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(scales + at * 2));
  if (type == ScaleType::f16) return _mm512_cvtph_ps(raw);
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(raw), 16));
}
inline __mmask16 first(int64_t n) {
  return n >= 16 ? 0xFFFF : static_cast<__mmask16>((1u << n) - 1);
}
inline F load_first(const float* p, int64_t n) { return _mm512_maskz_loadu_ps(first(n), p); }
inline void store_first(float* p, int64_t n, F v) { _mm512_mask_storeu_ps(p, first(n), v); }
// The lines that a row alone will want some microseconds from now.
template <int kLines>
inline void prefetch(const uint8_t* p) {
#pragma GCC unroll 32
  for (int i = 0; i < kLines; ++i)
    _mm_prefetch(reinterpret_cast<const char*>(p + 6144 + i * 64), _MM_HINT_T0);
}

#include "nibble/kernels/gemm_a8.inc"

}  // namespace

extern const Kernel gemm_i8_avx512vnni, gemm_i4_avx512vnni, gemm_narrow_a8_avx512vnni;
constinit const Kernel gemm_i8_avx512vnni =
    kernel(KernelIsa::avx512vnni, "gemm_i8_avx512vnni", is_i8, run_codes<8>);
constinit const Kernel gemm_i4_avx512vnni =
    kernel(KernelIsa::avx512vnni, "gemm_i4_avx512vnni", is_i4, run_codes<4>);
constinit const Kernel gemm_narrow_a8_avx512vnni =
    kernel(KernelIsa::avx512vnni, "gemm_narrow_a8_avx512vnni", is_narrow, run_narrow);

}  // namespace nibble
