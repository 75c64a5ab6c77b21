// Rounding with error feedback, for AVX2.

#include "nibble/kernels/avx2/vectors_f32.h"
#include "nibble/kernels/rounding.h"

namespace nibble {
namespace {

constexpr const char* kName = "avx2";

inline V take_where(V mask, V from, V to) {
  return _mm256_blendv_ps(to, from, _mm256_cmp_ps(mask, zero(), _CMP_NEQ_UQ));
}

#include "nibble/kernels/each.inc"
#include "nibble/kernels/rounding.inc"

}  // namespace

const RoundingOps& avx2_rounding_ops() { return kRoundingOps; }

}  // namespace nibble
