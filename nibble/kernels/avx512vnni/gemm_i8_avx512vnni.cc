// Codes of 2 to 8 bits times int8 rows. Weights are read as stored: unsigned codes, row by row, are
// what vpdpbusd wants (unsigned times signed, no saturation); the zero point is taken off by the
// sum of the row's codes. Codes of fewer than 8 bits are expanded to bytes, some rows at a time.
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
__m128i lane_sums(__m512i a, __m512i b, __m512i c, __m512i d) {
  const __m512i ab = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
  const __m512i cd = _mm512_add_epi32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
  const __m512i all =
      _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
  const __m256i half =
      _mm256_add_epi32(_mm512_castsi512_si256(all), _mm512_extracti64x4_epi64(all, 1));
  return _mm_add_epi32(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
}

// One step of 64 inputs. Unrolled by hand: otherwise GCC 12 keeps the sums in memory.
template <int kRows>
inline __attribute__((always_inline)) void multiply(const __m512i (&codes)[kTile],
                                                    const __m512i (&rows)[kRows],
                                                    __m512i (&acc)[kRows][kTile]) {
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int j = 0; j < kTile; ++j) acc[r][j] = _mm512_dpbusd_epi32(acc[r][j], codes[j], rows[r]);
  }
}

// sums[r] = the integer products of x row r with the four weight rows over inputs [begin, end).
template <int kRows>
inline __attribute__((always_inline)) void dot(const Rows& w, const int8_t* x, int64_t x_stride,
                                               int64_t begin, int64_t end, __m128i (&sums)[kRows]) {
  const uint8_t *w0 = w.bytes[0], *w1 = w.bytes[1], *w2 = w.bytes[2], *w3 = w.bytes[3];
  __m512i acc[kRows][kTile], rows[kRows];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int j = 0; j < kTile; ++j) acc[r][j] = _mm512_setzero_si512();
  }
  int64_t i = begin;
  for (; i + 64 <= end; i += 64) {
    const __m512i codes[kTile] = {_mm512_loadu_si512(w0 + i), _mm512_loadu_si512(w1 + i),
                                  _mm512_loadu_si512(w2 + i), _mm512_loadu_si512(w3 + i)};
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) rows[r] = _mm512_loadu_si512(x + r * x_stride + i);
    multiply<kRows>(codes, rows, acc);
  }
  if (i < end) {
    const __mmask64 mask = (uint64_t{1} << (end - i)) - 1;
    const __m512i codes[kTile] = {
        _mm512_maskz_loadu_epi8(mask, w0 + i), _mm512_maskz_loadu_epi8(mask, w1 + i),
        _mm512_maskz_loadu_epi8(mask, w2 + i), _mm512_maskz_loadu_epi8(mask, w3 + i)};
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) rows[r] = _mm512_maskz_loadu_epi8(mask, x + r * x_stride + i);
    multiply<kRows>(codes, rows, acc);
  }
#pragma GCC unroll 8
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
  const auto mask = static_cast<__mmask8>((1u << rows.count) - 1);
  const int64_t n = rows.index[0];
  for (int r = 0; r < kRows; ++r) {
    __m128 y = _mm_mul_ps(t[r], _mm_set1_ps(in.row_scales[r0 + r]));
    if (out.bias != nullptr) y = _mm_add_ps(y, _mm_maskz_loadu_ps(mask, out.bias + n));
    _mm_mask_storeu_ps(out.y + (r0 + r) * out.y_stride + n, mask, y);
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
  for (; r + 5 <= in.m; r += 5) run_rows<5>(w, bytes, stride, in, r, n_begin, n_end, out);
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

extern const Kernel gemm_i8_avx512vnni, gemm_narrow_a8_avx512vnni;
constinit const Kernel gemm_i8_avx512vnni = {
    .name = "gemm_i8_avx512vnni", .isa = KernelIsa::avx512vnni, .accepts = is_i8, .run = run_i8};
constinit const Kernel gemm_narrow_a8_avx512vnni = {.name = "gemm_narrow_a8_avx512vnni",
                                                    .isa = KernelIsa::avx512vnni,
                                                    .accepts = is_narrow,
                                                    .run = run_narrow,
                                                    .scratch_bytes = expanded_bytes};

}  // namespace nibble
