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

#include "nibble/kernels/train_simd.inc"

}  // namespace

const TrainOps<float>& avx512_train_ops() { return kOps; }

}  // namespace nibble
