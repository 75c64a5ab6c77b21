// Codes of 2 to 7 bits as bytes, 16 at a time. Included by islands for AVX2 and up; everything has
// internal linkage, so that no copy compiled for one instruction set serves another.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

namespace nibble {
namespace {

// 16 codes of b bits are 2b bytes. Code c begins in byte c*b/8 at bit c*b%8: its byte and the next
// make a 16-bit lane, a product shifts the code to the lane's top, a shift brings it down.
class Expander {
 public:
  explicit Expander(int bits) : bits_(bits) {
    alignas(32) uint8_t order[32];
    alignas(32) uint16_t factors[16];
    for (int c = 0; c < 16; ++c) {
      order[c * 2] = static_cast<uint8_t>(c * bits / 8);
      order[c * 2 + 1] = static_cast<uint8_t>(c * bits / 8 + 1);
      factors[c] = static_cast<uint16_t>(1u << (16 - bits - c * bits % 8));
    }
    order_ = _mm256_load_si256(reinterpret_cast<const __m256i*>(order));
    factors_ = _mm256_load_si256(reinterpret_cast<const __m256i*>(factors));
  }

  // Writes ceil(k / 16) * 16 bytes; those beyond k are not defined.
  void row(const uint8_t* codes, int64_t row_bytes, int64_t k, uint8_t* out) const {
    int64_t i = 0;
    for (; i < k && i / 8 * bits_ + 16 <= row_bytes; i += 16)
      sixteen(codes + i / 8 * bits_, out + i);
    for (; i < k; i += 16) {
      alignas(16) uint8_t last[16] = {};
      for (int64_t b = i / 8 * bits_; b < row_bytes && b - i / 8 * bits_ < 16; ++b)
        last[b - i / 8 * bits_] = codes[b];
      sixteen(last, out + i);
    }
  }

 private:
  void sixteen(const uint8_t* in, uint8_t* out) const {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(in));
    const __m256i lanes = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(bytes), order_);
    const __m256i codes =
        _mm256_srl_epi16(_mm256_mullo_epi16(lanes, factors_), _mm_cvtsi32_si128(16 - bits_));
    const __m128i packed =
        _mm_packus_epi16(_mm256_castsi256_si128(codes), _mm256_extracti128_si256(codes, 1));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out), packed);
  }

  int bits_;
  __m256i order_, factors_;
};

}  // namespace
}  // namespace nibble
