// Rounding to nearest, for AVX-512.

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "nibble/kernels/encode.h"

namespace nibble {
namespace {

constexpr const char* kName = "avx512";

void widen_f16(const uint16_t* x, int64_t n, float* out) {
  int64_t i = 0;
  for (; i + 16 <= n; i += 16)
    _mm512_storeu_ps(out + i,
                     _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(x + i))));
  for (; i < n; ++i) out[i] = _cvtsh_ss(x[i]);
}

#include "nibble/kernels/encode.inc"

}  // namespace

const EncodeOps& avx512_encode_ops() { return kOps; }

}  // namespace nibble
