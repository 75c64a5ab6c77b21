// Training kernels for AVX2 with FMA.
#include "nibble/kernels/avx2/vectors_f32.h"
#include "nibble/kernels/train.h"

namespace nibble {
namespace {

constexpr const char* kName = "avx2";
// Rows of a tile with 1 and 2 vectors of columns: 16 registers hold sums, columns and a factor.
constexpr int kRows1 = 8, kRows2 = 6, kRows3 = 0, kRows4 = 0;

template <int G>
inline __m256i group_index(int factor, int divisor) {
  alignas(32) int32_t index[8];
  for (int i = 0; i < 8; ++i) index[i] = i * factor / divisor % 8;
  return _mm256_load_si256(reinterpret_cast<const __m256i*>(index));
}
// One lane of each group, side by side in memory, and back.
template <int G>
inline void store_groups(float* p, V v) {
  const V packed = _mm256_permutevar8x32_ps(v, group_index<G>(G, 1));
  store_first(p, kLanes / G, packed);
}
template <int G>
inline V load_groups(const float* p) {
  if constexpr (G == kLanes) return set(*p);
  return _mm256_permutevar8x32_ps(load(p), group_index<G>(1, G));
}

// 8 rows of 8 become columns: pairs, then fours within 128 bits, then those.
inline void transpose_tile(const float* from, int64_t from_ld, float* to, int64_t ld) {
  V r[8], t[8];
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) r[i] = load(from + i * from_ld);
#pragma GCC unroll 4
  for (int i = 0; i < 8; i += 2) {
    t[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
    t[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
  }
#pragma GCC unroll 2
  for (int i = 0; i < 8; i += 4) {
    r[i] = _mm256_shuffle_ps(t[i], t[i + 2], 0x44);
    r[i + 1] = _mm256_shuffle_ps(t[i], t[i + 2], 0xee);
    r[i + 2] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0x44);
    r[i + 3] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0xee);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    store(to + i * ld, _mm256_permute2f128_ps(r[i], r[i + 4], 0x20));
    store(to + (i + 4) * ld, _mm256_permute2f128_ps(r[i], r[i + 4], 0x31));
  }
}

#include "nibble/kernels/train_simd.inc"

}  // namespace

const TrainOps<float>& avx2_train_ops() { return kOps; }

}  // namespace nibble
