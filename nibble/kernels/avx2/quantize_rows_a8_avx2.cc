#include <immintrin.h>

#include "nibble/kernels/kernel.h"

namespace nibble {
namespace {

// The largest magnitude, compared as bits: NaN counts as the largest of all.
float absmax(const float* x, int64_t k) {
  const __m256i magnitude = _mm256_set1_epi32(0x7FFFFFFF);
  __m256i most = _mm256_setzero_si256();
  int64_t i = 0;
  for (; i + 8 <= k; i += 8) {
    const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x + i));
    most = _mm256_max_epi32(most, _mm256_and_si256(bits, magnitude));
  }
  alignas(32) float lanes[16] = {};
  _mm256_store_si256(reinterpret_cast<__m256i*>(lanes), most);
  for (int lane = 8; i < k; ++i, ++lane) lanes[lane] = x[i];
  const __m256i rest = _mm256_load_si256(reinterpret_cast<const __m256i*>(lanes + 8));
  most = _mm256_max_epi32(most, _mm256_and_si256(rest, magnitude));
  __m128i half = _mm_max_epi32(_mm256_castsi256_si128(most), _mm256_extracti128_si256(most, 1));
  half = _mm_max_epi32(half, _mm_shuffle_epi32(half, 0x4E));
  half = _mm_max_epi32(half, _mm_shuffle_epi32(half, 0xB1));
  return _mm_cvtss_f32(_mm_castsi128_ps(half));
}

// Eight codes in the low bytes.
__m128i encode(__m256 x, __m256 scale) {
  const __m256 limit = _mm256_set1_ps(127.0f), low = _mm256_set1_ps(-127.0f);
  const __m256 q = _mm256_min_ps(_mm256_max_ps(_mm256_div_ps(x, scale), low), limit);
  const __m256i codes = _mm256_cvtps_epi32(q);
  const __m128i words =
      _mm_packs_epi32(_mm256_castsi256_si128(codes), _mm256_extracti128_si256(codes, 1));
  return _mm_packs_epi16(words, words);
}

void encode_row(const float* x, int64_t k, float scale, int8_t* codes) {
  const __m256 s = _mm256_set1_ps(scale);
  int64_t i = 0;
  for (; i + 8 <= k; i += 8)
    _mm_storel_epi64(reinterpret_cast<__m128i*>(codes + i), encode(_mm256_loadu_ps(x + i), s));
  if (i == k) return;
  alignas(32) float last[8] = {};
  for (int64_t j = i; j < k; ++j) last[j - i] = x[j];
  // Codes are padded to more than 8, and the zeros of `last` are the zeros wanted there.
  _mm_storel_epi64(reinterpret_cast<__m128i*>(codes + i), encode(_mm256_load_ps(last), s));
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

extern const Kernel quantize_rows_a8_avx2;
constinit const Kernel quantize_rows_a8_avx2 = {
    .name = "quantize_rows_a8_avx2", .isa = KernelIsa::avx2, .quantize_rows = quantize_rows};

}  // namespace nibble
