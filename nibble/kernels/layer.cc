#include "nibble/kernels/layer.h"

#include "nibble/core/cpu.h"

namespace nibble {

const LayerOps& best_layer_ops() {
#if NIBBLE_BUILT_AVX512
  constexpr uint32_t kNeeds512 = kAvx2 | kAvx512;
  if ((cpu().bits & kNeeds512) == kNeeds512) return avx512_layer_ops();
#endif
#if NIBBLE_BUILT_AVX2
  if ((cpu().bits & kAvx2) != 0) return avx2_layer_ops();
#endif
  return portable_layer_ops();
}

}  // namespace nibble
