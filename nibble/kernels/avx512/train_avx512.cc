// Training kernels for AVX-512 (F, BW, DQ, VL).

#include "nibble/kernels/avx512/vectors_f32.h"
#include "nibble/kernels/train.h"

namespace nibble {
namespace {

constexpr const char* kName = "avx512";
// Rows of a tile with 1, 2, 3 and 4 vectors of columns: 32 registers hold sums, columns, a factor.
constexpr int kRows1 = 16, kRows2 = 12, kRows3 = 8, kRows4 = 6;

template <int G>
inline __m512i group_index(int factor, int divisor) {
  alignas(64) int32_t index[16];
  for (int i = 0; i < 16; ++i) index[i] = i * factor / divisor % 16;
  return _mm512_load_si512(index);
}
// One lane of each group, side by side in memory, and back.
template <int G>
inline void store_groups(float* p, V v) {
  const V packed = _mm512_permutexvar_ps(group_index<G>(G, 1), v);
  _mm512_mask_storeu_ps(p, first_mask(kLanes / G), packed);
}
template <int G>
inline V load_groups(const float* p) {
  if constexpr (G == kLanes) return set(*p);
  return _mm512_permutexvar_ps(group_index<G>(1, G), load(p));
}

// 16 rows of 16 become columns: pairs, then fours within 128 bits, then those.
inline void transpose_tile(const float* from, int64_t from_ld, float* to, int64_t ld) {
  V r[16], t[16];
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) r[i] = load(from + i * from_ld);
#pragma GCC unroll 8
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
    t[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
  }
  const auto low = [](V a, V b) {
    return _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(a), _mm512_castps_pd(b)));
  };
  const auto high = [](V a, V b) {
    return _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(a), _mm512_castps_pd(b)));
  };
#pragma GCC unroll 4
  for (int i = 0; i < 16; i += 4) {
    r[i] = low(t[i], t[i + 2]), r[i + 1] = high(t[i], t[i + 2]);
    r[i + 2] = low(t[i + 1], t[i + 3]), r[i + 3] = high(t[i + 1], t[i + 3]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    const V a = _mm512_shuffle_f32x4(r[i], r[i + 4], 0x88);
    const V b = _mm512_shuffle_f32x4(r[i + 8], r[i + 12], 0x88);
    const V c = _mm512_shuffle_f32x4(r[i], r[i + 4], 0xdd);
    const V d = _mm512_shuffle_f32x4(r[i + 8], r[i + 12], 0xdd);
    store(to + i * ld, _mm512_shuffle_f32x4(a, b, 0x88));
    store(to + (i + 4) * ld, _mm512_shuffle_f32x4(c, d, 0x88));
    store(to + (i + 8) * ld, _mm512_shuffle_f32x4(a, b, 0xdd));
    store(to + (i + 12) * ld, _mm512_shuffle_f32x4(c, d, 0xdd));
  }
}

#include "nibble/kernels/train_simd.inc"

}  // namespace

const TrainOps<float>& avx512_train_ops() { return kOps; }

}  // namespace nibble
