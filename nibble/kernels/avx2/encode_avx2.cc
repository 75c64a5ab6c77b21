// Rounding to nearest, for AVX2 with F16C.

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "nibble/kernels/encode.h"

namespace nibble {
namespace {

constexpr const char* kName = "avx2";

void widen_f16(const uint16_t* x, int64_t n, float* out) {
  int64_t i = 0;
  for (; i + 8 <= n; i += 8)
    _mm256_storeu_ps(out + i,
                     _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(x + i))));
  for (; i < n; ++i) out[i] = _cvtsh_ss(x[i]);
}

#include "nibble/kernels/encode.inc"

}  // namespace

const EncodeOps& avx2_encode_ops() { return kOps; }

}  // namespace nibble
