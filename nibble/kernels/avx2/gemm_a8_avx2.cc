// Codes times int8 rows without vpdpbusd. Codes of up to 7 bits: vpmaddubsw, whose pair sums stay
// below 2^15 (127 * 127 * 2), then vpmaddwd by ones. 8 bits could saturate there: even and odd
// codes are widened to 16 bits and multiplied by vpmaddwd, which cannot.
#include <immintrin.h>

#include "nibble/kernels/avx2/vectors.h"

namespace nibble {
namespace {

constexpr int kRowTile = 4, kVectorTile = 2, kOneRowVectors = 4;

struct Halves {
  I even, odd;  // 16 bits each
};
template <bool kBytes>
inline auto spread(const int8_t* x) {
  const I four = four_codes(x);
  if constexpr (kBytes) {
    return Halves{_mm256_srai_epi16(_mm256_slli_epi16(four, 8), 8), _mm256_srai_epi16(four, 8)};
  } else {
    return four;
  }
}
template <bool kBytes, class X>
inline I dot(I acc, I w, X x) {
  if constexpr (kBytes) {
    const I even = _mm256_and_si256(w, _mm256_set1_epi16(0xFF)), odd = _mm256_srli_epi16(w, 8);
    acc = _mm256_add_epi32(acc, _mm256_madd_epi16(even, x.even));
    return _mm256_add_epi32(acc, _mm256_madd_epi16(odd, x.odd));
  } else {
    const I pairs = _mm256_maddubs_epi16(w, x);
    return _mm256_add_epi32(acc, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
  }
}

#include "nibble/kernels/gemm_a8.inc"

}  // namespace

extern const Kernel gemm_i8_avx2, gemm_i4_avx2, gemm_narrow_a8_avx2;
constinit const Kernel gemm_i8_avx2 = kernel(KernelIsa::avx2, "gemm_i8_avx2", is_i8, run_codes<8>);
constinit const Kernel gemm_i4_avx2 = kernel(KernelIsa::avx2, "gemm_i4_avx2", is_i4, run_codes<4>);
constinit const Kernel gemm_narrow_a8_avx2 =
    kernel(KernelIsa::avx2, "gemm_narrow_a8_avx2", is_narrow, run_narrow);

}  // namespace nibble
