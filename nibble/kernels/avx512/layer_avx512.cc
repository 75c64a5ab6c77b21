// What a layer does besides its products, for AVX-512 (F, BW, DQ, VL).

#include "nibble/kernels/avx512/vectors_f32.h"
#include "nibble/kernels/layer.h"

namespace nibble {
namespace {

constexpr const char* kName = "avx512";
constexpr int kValueVectors = 4;  // 4 rows of 4 sums, 4 values, a weight

inline V from_f16(const uint16_t* p) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
inline void to_f16(uint16_t* p, V v) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p),
                      _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
inline V from_i8(const int8_t* p) {
  return _mm512_cvtepi32_ps(
      _mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
}
inline int32_t sum_bytes(const int8_t* p) {
  const __m256i bytes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  return _mm512_reduce_add_epi32(
      _mm512_madd_epi16(_mm512_cvtepi8_epi16(bytes), _mm512_set1_epi16(1)));
}
inline __mmask16 lanes_below(int n) {
  return n >= 16 ? 0xFFFF : n <= 0 ? 0 : static_cast<__mmask16>((1u << n) - 1u);
}
inline V within(V v, int first, int end, V other) {
  const auto mask = static_cast<__mmask16>(lanes_below(end) & ~lanes_below(first));
  return _mm512_mask_mov_ps(other, mask, v);
}

#include "nibble/kernels/layer_simd.inc"

}  // namespace

const LayerOps& avx512_layer_ops() { return kOps; }

}  // namespace nibble
