// Codes of 2 to 8 bits times int8 rows. Weights are read as stored: unsigned codes, row by row.
// Both sides are widened to 16 bits and multiplied in pairs (vpmaddwd), which cannot saturate; the
// zero point is taken off by the sum of the row's codes. Codes of fewer than 8 bits are expanded to
// bytes, some rows at a time.
#include <immintrin.h>

#include "nibble/kernels/avx2/expand.h"
#include "nibble/kernels/kernel.h"

namespace nibble {
namespace {

constexpr int64_t kTile = 4;       // outputs in a tile
constexpr int64_t kExpanded = 16;  // weight rows expanded together

int64_t padded(int64_t k) { return (k + kCodePadding - 1) / kCodePadding * kCodePadding; }

// Four weight rows as bytes, and where they are in the weight. Where fewer exist the last is
// repeated, and its results are dropped.
struct Rows {
  const uint8_t* bytes[kTile];
  int64_t index[kTile];
  int64_t count;
};

// The four sums of the lanes of a, b, c and d.
__m128i lane_sums(__m256i a, __m256i b, __m256i c, __m256i d) {
  const __m256i all = _mm256_hadd_epi32(_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d));
  return _mm_add_epi32(_mm256_castsi256_si128(all), _mm256_extracti128_si256(all, 1));
}

template <int kRows>
void multiply(const uint8_t* const (&w)[kTile], const int8_t* const (&x)[kRows],
              __m256i (&acc)[kRows][kTile]) {
  __m256i rows[kRows];
  for (int r = 0; r < kRows; ++r)
    rows[r] = _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(x[r])));
  for (int j = 0; j < kTile; ++j) {
    const __m256i codes =
        _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(w[j])));
    for (int r = 0; r < kRows; ++r)
      acc[r][j] = _mm256_add_epi32(acc[r][j], _mm256_madd_epi16(codes, rows[r]));
  }
}

// The inputs left over, filled up with zeros.
template <int kRows>
void multiply_last(const Rows& w, const int8_t* x, int64_t x_stride, int64_t begin, int64_t end,
                   __m256i (&acc)[kRows][kTile]) {
  uint8_t codes[kTile][16] = {};
  int8_t rows[kRows][16] = {};
  const uint8_t* w_at[kTile];
  const int8_t* x_at[kRows];
  for (int j = 0; j < kTile; ++j) {
    for (int64_t i = begin; i < end; ++i) codes[j][i - begin] = w.bytes[j][i];
    w_at[j] = codes[j];
  }
  for (int r = 0; r < kRows; ++r) {
    for (int64_t i = begin; i < end; ++i) rows[r][i - begin] = x[r * x_stride + i];
    x_at[r] = rows[r];
  }
  multiply<kRows>(w_at, x_at, acc);
}

// sums[r] = the integer products of x row r with the four weight rows over inputs [begin, end).
template <int kRows>
void dot(const Rows& w, const int8_t* x, int64_t x_stride, int64_t begin, int64_t end,
         __m128i (&sums)[kRows]) {
  __m256i acc[kRows][kTile];
  for (int r = 0; r < kRows; ++r) {
    for (int j = 0; j < kTile; ++j) acc[r][j] = _mm256_setzero_si256();
  }
  int64_t i = begin;
  for (; i + 16 <= end; i += 16) {
    const uint8_t* w_at[kTile];
    const int8_t* x_at[kRows];
    for (int j = 0; j < kTile; ++j) w_at[j] = w.bytes[j] + i;
    for (int r = 0; r < kRows; ++r) x_at[r] = x + r * x_stride + i;
    multiply<kRows>(w_at, x_at, acc);
  }
  if (i < end) multiply_last<kRows>(w, x, x_stride, i, end, acc);
  for (int r = 0; r < kRows; ++r) sums[r] = lane_sums(acc[r][0], acc[r][1], acc[r][2], acc[r][3]);
}

__m128 scales_of(const GemmWeight& w, const Rows& rows, int64_t group) {
  alignas(16) uint32_t raw[kTile];
  for (int j = 0; j < kTile; ++j) {
    const int64_t at = rows.index[j] * w.scale_stride + group;
    raw[j] = w.scale_type == ScaleType::f32 ? static_cast<const uint32_t*>(w.scales)[at]
                                            : static_cast<const uint16_t*>(w.scales)[at];
  }
  const __m128i bits = _mm_load_si128(reinterpret_cast<const __m128i*>(raw));
  if (w.scale_type == ScaleType::f16) return _mm_cvtph_ps(_mm_packus_epi32(bits, bits));
  return _mm_castsi128_ps(w.scale_type == ScaleType::bf16 ? _mm_slli_epi32(bits, 16) : bits);
}

__m128i zeros_of(const GemmWeight& w, const Rows& rows, int64_t group) {
  if (w.zeros == nullptr) return _mm_set1_epi32(1 << (w.traits.bits - 1));
  alignas(16) int32_t zeros[kTile];
  for (int j = 0; j < kTile; ++j) zeros[j] = w.zeros[rows.index[j] * w.scale_stride + group];
  return _mm_load_si128(reinterpret_cast<const __m128i*>(zeros));
}

template <int kRows>
void run_tile(const GemmWeight& w, const Rows& rows, const GemmInput& in, int64_t r0,
              const GemmOutput& out) {
  const int64_t k = w.traits.k, group = w.traits.group, groups = (k + group - 1) / group;
  const int8_t* x = in.codes + r0 * in.code_stride;
  __m128 t[kRows];
  for (int r = 0; r < kRows; ++r) t[r] = _mm_setzero_ps();
  for (int64_t g = 0; g < groups; ++g) {
    __m128i sums[kRows];
    const int64_t end = (g + 1) * group < k ? (g + 1) * group : k;
    dot<kRows>(rows, x, in.code_stride, g * group, end, sums);
    const __m128 scales = scales_of(w, rows, g);
    const __m128i zeros = zeros_of(w, rows, g);
    for (int r = 0; r < kRows; ++r) {
      const __m128i shift = _mm_mullo_epi32(zeros, _mm_set1_epi32(in.sums[(r0 + r) * groups + g]));
      t[r] = _mm_fmadd_ps(_mm_cvtepi32_ps(_mm_sub_epi32(sums[r], shift)), scales, t[r]);
    }
  }
  const int64_t n = rows.index[0];
  for (int r = 0; r < kRows; ++r) {
    alignas(16) float y[kTile];
    _mm_store_ps(y, _mm_mul_ps(t[r], _mm_set1_ps(in.row_scales[r0 + r])));
    float* to = out.y + (r0 + r) * out.y_stride + n;
    for (int64_t j = 0; j < rows.count; ++j)
      to[j] = out.bias == nullptr ? y[j] : y[j] + out.bias[n + j];
  }
}

// `bytes` is the first of the rows [n_begin, n_end).
Rows rows_at(const uint8_t* bytes, int64_t stride, int64_t n, int64_t n_begin, int64_t n_end) {
  Rows rows;
  rows.count = n_end - n < kTile ? n_end - n : kTile;
  for (int64_t j = 0; j < kTile; ++j) {
    rows.index[j] = n + (j < rows.count ? j : rows.count - 1);
    rows.bytes[j] = bytes + (rows.index[j] - n_begin) * stride;
  }
  return rows;
}

template <int kRows>
void run_rows(const GemmWeight& w, const uint8_t* bytes, int64_t stride, const GemmInput& in,
              int64_t r0, int64_t n_begin, int64_t n_end, const GemmOutput& out) {
  for (int64_t n = n_begin; n < n_end; n += kTile)
    run_tile<kRows>(w, rows_at(bytes, stride, n, n_begin, n_end), in, r0, out);
}

void run_bytes(const GemmWeight& w, const uint8_t* bytes, int64_t stride, const GemmInput& in,
               int64_t n_begin, int64_t n_end, const GemmOutput& out) {
  int64_t r = 0;
  for (; r + 2 <= in.m; r += 2) run_rows<2>(w, bytes, stride, in, r, n_begin, n_end, out);
  if (r < in.m) run_rows<1>(w, bytes, stride, in, r, n_begin, n_end, out);
}

void run_i8(const GemmWeight& w, const GemmInput& in, int64_t n_begin, int64_t n_end,
            const GemmOutput& out, void*) {
  const auto* bytes = static_cast<const uint8_t*>(w.data) + n_begin * w.row_bytes;
  run_bytes(w, bytes, w.row_bytes, in, n_begin, n_end, out);
}

void run_narrow(const GemmWeight& w, const GemmInput& in, int64_t n_begin, int64_t n_end,
                const GemmOutput& out, void* scratch) {
  const Expander expander(w.traits.bits);
  const int64_t stride = padded(w.traits.k);
  auto* bytes = static_cast<uint8_t*>(scratch);
  for (int64_t n = n_begin; n < n_end; n += kExpanded) {
    const int64_t end = n + kExpanded < n_end ? n + kExpanded : n_end;
    for (int64_t j = n; j < end; ++j) {
      expander.row(static_cast<const uint8_t*>(w.data) + j * w.row_bytes, w.row_bytes, w.traits.k,
                   bytes + (j - n) * stride);
    }
    run_bytes(w, bytes, stride, in, n, end, out);
  }
}

int64_t expanded_bytes(const GemmTraits& t) { return kExpanded * padded(t.k); }

bool is_a8(const GemmTraits& t) {
  return t.weight == WeightType::codes && t.a8 && t.k <= kLargestInt32Sum;
}
bool is_i8(const GemmTraits& t) { return is_a8(t) && t.bits == 8; }
bool is_narrow(const GemmTraits& t) { return is_a8(t) && t.bits < 8; }

}  // namespace

extern const Kernel gemm_i8_avx2, gemm_narrow_a8_avx2;
constinit const Kernel gemm_i8_avx2 = {
    .name = "gemm_i8_avx2", .isa = KernelIsa::avx2, .accepts = is_i8, .run = run_i8};
constinit const Kernel gemm_narrow_a8_avx2 = {.name = "gemm_narrow_a8_avx2",
                                              .isa = KernelIsa::avx2,
                                              .accepts = is_narrow,
                                              .run = run_narrow,
                                              .scratch_bytes = expanded_bytes};

}  // namespace nibble
