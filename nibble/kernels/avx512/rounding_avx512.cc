// Rounding with error feedback, for AVX-512.

#include "nibble/kernels/avx512/vectors_f32.h"
#include "nibble/kernels/rounding.h"

namespace nibble {
namespace {

constexpr const char* kName = "avx512";

inline V take_where(V mask, V from, V to) {
  return _mm512_mask_mov_ps(to, _mm512_cmp_ps_mask(mask, zero(), _CMP_NEQ_UQ), from);
}

#include "nibble/kernels/each.inc"
#include "nibble/kernels/rounding.inc"

}  // namespace

const RoundingOps& avx512_rounding_ops() { return kRoundingOps; }

}  // namespace nibble
