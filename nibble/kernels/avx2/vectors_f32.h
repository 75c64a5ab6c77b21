// Vectors of floats as the .inc files of this folder's parent want them. Everything has internal
// linkage, so that no copy compiled for one instruction set serves another.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

namespace nibble {
namespace {

constexpr int kLanes = 8;
using V = __m256;

inline V zero() { return _mm256_setzero_ps(); }
inline V set(float x) { return _mm256_set1_ps(x); }
inline V load(const float* p) { return _mm256_loadu_ps(p); }
inline void store(float* p, V v) { _mm256_storeu_ps(p, v); }
inline __m256i first_mask(int64_t n) {
  const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)), lane);
}
inline V load_first(const float* p, int64_t n) { return _mm256_maskload_ps(p, first_mask(n)); }
inline V load_first_or(const float* p, int64_t n, float other) {
  return _mm256_blendv_ps(set(other), load_first(p, n), _mm256_castsi256_ps(first_mask(n)));
}
inline void store_first(float* p, int64_t n, V v) { _mm256_maskstore_ps(p, first_mask(n), v); }
inline V add(V a, V b) { return _mm256_add_ps(a, b); }
inline V sub(V a, V b) { return _mm256_sub_ps(a, b); }
inline V mul(V a, V b) { return _mm256_mul_ps(a, b); }
inline V div(V a, V b) { return _mm256_div_ps(a, b); }
inline V fma(V a, V b, V c) { return _mm256_fmadd_ps(a, b, c); }
inline V max(V a, V b) { return _mm256_max_ps(a, b); }
inline V min(V a, V b) { return _mm256_min_ps(a, b); }
inline V sqrt(V a) { return _mm256_sqrt_ps(a); }
inline V round(V a) { return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
inline V times_power_of_2(V a, V n) {
  const __m256i exponent = _mm256_slli_epi32(_mm256_cvtps_epi32(n), 23);
  return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(a), exponent));
}
inline V where_positive(V condition, V x) {
  return _mm256_and_ps(_mm256_cmp_ps(condition, zero(), _CMP_GT_OQ), x);
}
inline float first_lane(V v) { return _mm256_cvtss_f32(v); }
inline float square_root(float x) { return _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(x))); }

// The sum of each group of G lanes, in all of them.
template <int G>
inline V group_sum(V v) {
  if constexpr (G >= 2) v = add(v, _mm256_permute_ps(v, 0xb1));
  if constexpr (G >= 4) v = add(v, _mm256_permute_ps(v, 0x4e));
  if constexpr (G >= 8) v = add(v, _mm256_permute2f128_ps(v, v, 0x01));
  return v;
}
inline float sum_all(V v) { return first_lane(group_sum<8>(v)); }
inline float max_all(V v) {
  v = max(v, _mm256_permute2f128_ps(v, v, 0x01));
  v = max(v, _mm256_permute_ps(v, 0x4e));
  return first_lane(max(v, _mm256_permute_ps(v, 0xb1)));
}

}  // namespace
}  // namespace nibble
