// f32, f16, bf16 weights and codes times f32 rows on 512-bit vectors.
#include <immintrin.h>

#include "nibble/kernels/avx512/vectors.h"

namespace nibble {
namespace {

constexpr int kRowTile = 6, kVectorTile = 4, kOneRowVectors = 4;

// 16 values in one register; the four bits of a code that begin at kBit choose one.
struct Lookup {
  F values;
  explicit Lookup(const float* table) : values(_mm512_loadu_ps(table)) {}
  template <int kBit>
  F at(I codes) const {
    return _mm512_permutexvar_ps(shift_right<kBit>(codes), values);
  }
};
constexpr bool kLooksUp = true;  // one instruction, less than masking and converting

#include "nibble/kernels/gemm_float.inc"

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
