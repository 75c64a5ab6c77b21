#include "nibble/kernels/rounding.h"

#include "nibble/core/cpu.h"

namespace nibble {

const RoundingOps& best_rounding_ops() {
#if NIBBLE_BUILT_AVX512
  constexpr uint32_t kNeeds512 = kAvx2 | kAvx512;
  if ((cpu().bits & kNeeds512) == kNeeds512) return avx512_rounding_ops();
#endif
#if NIBBLE_BUILT_AVX2
  if ((cpu().bits & kAvx2) != 0) return avx2_rounding_ops();
#endif
  return ref_rounding_ops();
}

}  // namespace nibble
