#include "nibble/kernels/rounding.h"

#include "nibble/kernels/dispatch.h"

namespace nibble {

const RoundingOps& best_rounding_ops() {
  static constexpr OpsRow<RoundingOps> kRows[] = {
#if NIBBLE_BUILT_AVX512
    {KernelIsa::avx512, avx512_rounding_ops},
#endif
#if NIBBLE_BUILT_AVX2
    {KernelIsa::avx2, avx2_rounding_ops},
#endif
    {KernelIsa::ref, ref_rounding_ops},
  };
  return best_of(kRows);
}

}  // namespace nibble
