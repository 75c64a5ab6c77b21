// f32, f16, bf16 weights and codes times f32 rows on 256-bit vectors.
#include <immintrin.h>

#include "nibble/kernels/avx2/vectors.h"

namespace nibble {
namespace {

constexpr int kRowTile = 6, kVectorTile = 2, kOneRowVectors = 4;

// 16 values in two registers; of the four bits of a code that begin at kBit the highest chooses
// between them.
struct Lookup {
  F low, high;
  explicit Lookup(const float* table)
      : low(_mm256_loadu_ps(table)), high(_mm256_loadu_ps(table + 8)) {}
  template <int kBit>
  F at(I codes) const {
    const I index = shift_right<kBit>(codes);
    return _mm256_blendv_ps(_mm256_permutevar8x32_ps(low, index),
                            _mm256_permutevar8x32_ps(high, index),
                            _mm256_castsi256_ps(shift_left<28 - kBit>(codes)));
  }
};
constexpr bool kLooksUp = false;  // four instructions: no less than masking and converting

#include "nibble/kernels/gemm_float.inc"

inline F div(F a, F b) { return _mm256_div_ps(a, b); }
inline __m128i load_words(const uint8_t* p) {
  return _mm_cvtepu8_epi16(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
}
// The bits of an f16 that is 2^-8 times the value: both have their subnormals in the same place.
inline F from_e4m3(const uint8_t* p) {
  const __m128i code = load_words(p);
  const __m128i sign = _mm_slli_epi16(_mm_and_si128(code, _mm_set1_epi16(0x80)), 8);
  const __m128i rest = _mm_slli_epi16(_mm_and_si128(code, _mm_set1_epi16(0x7F)), 7);
  return _mm256_mul_ps(_mm256_cvtph_ps(_mm_or_si128(sign, rest)), _mm256_set1_ps(256));
}
// The upper byte of an f16.
inline F from_e5m2(const uint8_t* p) { return _mm256_cvtph_ps(_mm_slli_epi16(load_words(p), 8)); }
// The exponent of an f32; 0 is 2^-127, which is subnormal.
inline F from_e8m0(const uint8_t* p) {
  const I bits = _mm256_slli_epi32(load_zeros(p), 23);
  return _mm256_castsi256_ps(_mm256_max_epi32(bits, _mm256_set1_epi32(1 << 22)));
}
inline F look_up_256(const float* table, const uint8_t* p) {
  float out[kLanes];
  for (int lane = 0; lane < kLanes; ++lane) out[lane] = table[p[lane]];
  return load_f(out);
}

#include "nibble/kernels/gemm_table.inc"

}  // namespace

extern const Kernel gemm_f32_avx2, gemm_f16_avx2, gemm_bf16_avx2, gemm_w8_avx2, gemm_w4_avx2,
    gemm_narrow_f32_avx2, gemm_table_avx2, gemm_e4m3_avx2, gemm_e5m2_avx2;
constexpr KernelIsa kIsa = KernelIsa::avx2;
constinit const Kernel gemm_f32_avx2 =
    kernel(kIsa, "gemm_f32_avx2", is_f32, run_plain<F32>, plain_scratch);
constinit const Kernel gemm_f16_avx2 =
    kernel(kIsa, "gemm_f16_avx2", is_f16, run_plain<F16>, plain_scratch);
constinit const Kernel gemm_bf16_avx2 =
    kernel(kIsa, "gemm_bf16_avx2", is_bf16, run_plain<Bf16>, plain_scratch);
constinit const Kernel gemm_w8_avx2 =
    kernel(kIsa, "gemm_w8_avx2", is_w8, run_codes<8>, codes_scratch);
constinit const Kernel gemm_w4_avx2 =
    kernel(kIsa, "gemm_w4_avx2", is_w4, run_codes<4>, codes_scratch);
constinit const Kernel gemm_narrow_f32_avx2 =
    kernel(kIsa, "gemm_narrow_f32_avx2", is_narrow, run_narrow, codes_scratch);
constinit const Kernel gemm_table_avx2 =
    kernel(kIsa, "gemm_table_avx2", is_table, run_table<Table>, codes_scratch);
constinit const Kernel gemm_e4m3_avx2 =
    kernel(kIsa, "gemm_e4m3_avx2", is_e4m3, run_table<Float8<E4m3>>, codes_scratch);
constinit const Kernel gemm_e5m2_avx2 =
    kernel(kIsa, "gemm_e5m2_avx2", is_e5m2, run_table<Float8<E5m2>>, codes_scratch);

}  // namespace nibble
