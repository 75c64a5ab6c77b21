// f32, f16, bf16 weights and codes times f32 rows on 512-bit vectors.
#include <immintrin.h>

#include "nibble/kernels/slabs.h"

namespace nibble {
namespace {

constexpr int kLanes = 16, kRowTile = 6, kVectorTile = 4, kOneRowVectors = 4;
using I = __m512i;
using F = __m512;

inline I load_codes(const uint8_t* p) { return _mm512_loadu_si512(p); }
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
// The lines that a row alone will want some microseconds from now.
template <int kLines>
inline void prefetch(const uint8_t* p) {
#pragma GCC unroll 32
  for (int i = 0; i < kLines; ++i)
    _mm_prefetch(reinterpret_cast<const char*>(p + 6144 + i * 64), _MM_HINT_T0);
}

#include "nibble/kernels/gemm_float.inc"

// 16 values in one register; the four bits of a code that begin at kBit choose one.
struct Lookup {
  F values;
  explicit Lookup(const float* table) : values(_mm512_loadu_ps(table)) {}
  template <int kBit>
  F at(I codes) const {
    return _mm512_permutexvar_ps(shifted<kBit>(codes), values);
  }
};
inline F div(F a, F b) { return _mm512_div_ps(a, b); }
inline __m256i load_words(const uint8_t* p) {
  return _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
// The bits of an f16 that is 2^-8 times the value: both have their subnormals in the same place.
inline F from_e4m3(const uint8_t* p) {
  const __m256i code = load_words(p);
  const __m256i sign = _mm256_slli_epi16(_mm256_and_si256(code, _mm256_set1_epi16(0x80)), 8);
  const __m256i rest = _mm256_slli_epi16(_mm256_and_si256(code, _mm256_set1_epi16(0x7F)), 7);
  return _mm512_mul_ps(_mm512_cvtph_ps(_mm256_or_si256(sign, rest)), _mm512_set1_ps(256));
}
// The upper byte of an f16.
inline F from_e5m2(const uint8_t* p) {
  return _mm512_cvtph_ps(_mm256_slli_epi16(load_words(p), 8));
}
// The exponent of an f32; 0 is 2^-127, which is subnormal.
inline F from_e8m0(const uint8_t* p) {
  const I bits = _mm512_slli_epi32(load_zeros(p), 23);
  return _mm512_castsi512_ps(_mm512_max_epi32(bits, _mm512_set1_epi32(1 << 22)));
}
inline F look_up_256(const float* table, const uint8_t* p) {
  return _mm512_i32gather_ps(load_zeros(p), table, 4);
}

#include "nibble/kernels/gemm_table.inc"

}  // namespace

extern const Kernel gemm_f32_avx512, gemm_f16_avx512, gemm_bf16_avx512, gemm_w8_avx512,
    gemm_w4_avx512, gemm_narrow_f32_avx512, gemm_table_avx512, gemm_e4m3_avx512, gemm_e5m2_avx512;
constexpr KernelIsa kIsa = KernelIsa::avx512;
constinit const Kernel gemm_f32_avx512 =
    kernel(kIsa, "gemm_f32_avx512", is_f32, run_plain<F32>, plain_scratch);
constinit const Kernel gemm_f16_avx512 =
    kernel(kIsa, "gemm_f16_avx512", is_f16, run_plain<F16>, plain_scratch);
constinit const Kernel gemm_bf16_avx512 =
    kernel(kIsa, "gemm_bf16_avx512", is_bf16, run_plain<Bf16>, plain_scratch);
constinit const Kernel gemm_w8_avx512 =
    kernel(kIsa, "gemm_w8_avx512", is_w8, run_codes<8>, codes_scratch);
constinit const Kernel gemm_w4_avx512 =
    kernel(kIsa, "gemm_w4_avx512", is_w4, run_codes<4>, codes_scratch);
constinit const Kernel gemm_narrow_f32_avx512 =
    kernel(kIsa, "gemm_narrow_f32_avx512", is_narrow, run_narrow, codes_scratch);
constinit const Kernel gemm_table_avx512 =
    kernel(kIsa, "gemm_table_avx512", is_table, run_table<Table>, codes_scratch);
constinit const Kernel gemm_e4m3_avx512 =
    kernel(kIsa, "gemm_e4m3_avx512", is_e4m3, run_table<Float8<E4m3>>, codes_scratch);
constinit const Kernel gemm_e5m2_avx512 =
    kernel(kIsa, "gemm_e5m2_avx512", is_e5m2, run_table<Float8<E5m2>>, codes_scratch);

}  // namespace nibble
