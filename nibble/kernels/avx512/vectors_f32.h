// Vectors of floats as the .inc files of this folder's parent want them. Everything has internal
// linkage, so that no copy compiled for one instruction set serves another.
#pragma once

// GCC 12 takes _mm512_undefined_ps(), with which its own intrinsics are written, for a mistake.
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>

#include <cstddef>
#include <cstdint>

namespace nibble {
namespace {

constexpr int kLanes = 16;
using V = __m512;

inline V zero() { return _mm512_setzero_ps(); }
inline V set(float x) { return _mm512_set1_ps(x); }
inline V load(const float* p) { return _mm512_loadu_ps(p); }
inline void store(float* p, V v) { _mm512_storeu_ps(p, v); }
inline __mmask16 first_mask(int64_t n) { return static_cast<__mmask16>((1u << n) - 1u); }
inline V load_first(const float* p, int64_t n) { return _mm512_maskz_loadu_ps(first_mask(n), p); }
inline V load_first_or(const float* p, int64_t n, float other) {
  return _mm512_mask_loadu_ps(set(other), first_mask(n), p);
}
inline void store_first(float* p, int64_t n, V v) { _mm512_mask_storeu_ps(p, first_mask(n), v); }
inline V add(V a, V b) { return _mm512_add_ps(a, b); }
inline V sub(V a, V b) { return _mm512_sub_ps(a, b); }
inline V mul(V a, V b) { return _mm512_mul_ps(a, b); }
inline V div(V a, V b) { return _mm512_div_ps(a, b); }
inline V fma(V a, V b, V c) { return _mm512_fmadd_ps(a, b, c); }
inline V max(V a, V b) { return _mm512_max_ps(a, b); }
inline V min(V a, V b) { return _mm512_min_ps(a, b); }
inline V sqrt(V a) { return _mm512_sqrt_ps(a); }
inline V round(V a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT); }
inline V times_power_of_2(V a, V n) { return _mm512_scalef_ps(a, n); }
inline V where_positive(V condition, V x) {
  return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(condition, zero(), _CMP_GT_OQ), x);
}
inline float first_lane(V v) { return _mm512_cvtss_f32(v); }
inline float square_root(float x) { return _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(x))); }

// The sum of each group of G lanes, in all of them.
template <int G>
inline V group_sum(V v) {
  if constexpr (G >= 2) v = add(v, _mm512_permute_ps(v, 0xb1));
  if constexpr (G >= 4) v = add(v, _mm512_permute_ps(v, 0x4e));
  if constexpr (G >= 8) v = add(v, _mm512_shuffle_f32x4(v, v, 0xb1));
  if constexpr (G >= 16) v = add(v, _mm512_shuffle_f32x4(v, v, 0x4e));
  return v;
}
inline float sum_all(V v) { return first_lane(group_sum<16>(v)); }
inline float max_all(V v) { return _mm512_reduce_max_ps(v); }

}  // namespace
}  // namespace nibble
