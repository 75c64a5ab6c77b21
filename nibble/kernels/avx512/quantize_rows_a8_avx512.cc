#include <immintrin.h>

#include "nibble/kernels/kernel.h"

namespace nibble {
namespace {

__mmask16 mask_of(int64_t left) {
  return left >= 16 ? 0xFFFF : static_cast<__mmask16>((1u << left) - 1);
}

// The largest magnitude, compared as bits: NaN counts as the largest of all.
float absmax(const float* x, int64_t k) {
  const __m512i magnitude = _mm512_set1_epi32(0x7FFFFFFF);
  __m512i most = _mm512_setzero_si512();
  for (int64_t i = 0; i < k; i += 16) {
    const __m512i bits = _mm512_maskz_loadu_epi32(mask_of(k - i), x + i);
    most = _mm512_max_epi32(most, _mm512_and_si512(bits, magnitude));
  }
  return _mm_cvtss_f32(_mm_castsi128_ps(_mm_cvtsi32_si128(_mm512_reduce_max_epi32(most))));
}

void encode_row(const float* x, int64_t k, float scale, int8_t* codes) {
  const __m512 s = _mm512_set1_ps(scale);
  const __m512 limit = _mm512_set1_ps(127.0f), low = _mm512_set1_ps(-127.0f);
  for (int64_t i = 0; i < k; i += 16) {
    const __mmask16 mask = mask_of(k - i);
    const __m512 q = _mm512_div_ps(_mm512_maskz_loadu_ps(mask, x + i), s);
    const __m512i code = _mm512_cvtps_epi32(_mm512_min_ps(_mm512_max_ps(q, low), limit));
    _mm_mask_storeu_epi8(codes + i, mask, _mm512_cvtepi32_epi8(code));
  }
}

void quantize_rows(const float* x, int64_t m, int64_t k, int64_t x_stride, int8_t* codes,
                   int64_t code_stride, float* row_scales) {
  for (int64_t r = 0; r < m; ++r, x += x_stride, codes += code_stride) {
    const float scale = absmax(x, k) / 127.0f;
    row_scales[r] = scale;
    const bool usable = scale > 0 && scale - scale == 0;
    for (int64_t i = usable ? k : 0; i < code_stride; ++i) codes[i] = 0;
    if (usable) encode_row(x, k, scale, codes);
  }
}

}  // namespace

extern const Kernel quantize_rows_a8_avx512;
constinit const Kernel quantize_rows_a8_avx512 = {
    .name = "quantize_rows_a8_avx512", .isa = KernelIsa::avx512, .quantize_rows = quantize_rows};

}  // namespace nibble
