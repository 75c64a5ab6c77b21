#include "nibble/kernels/encode.h"

#include "nibble/core/cpu.h"

namespace nibble {

const EncodeOps& best_encode_ops() {
#if NIBBLE_BUILT_AVX512
  constexpr uint32_t kNeeds512 = kAvx2 | kAvx512;
  if ((cpu().bits & kNeeds512) == kNeeds512) return avx512_encode_ops();
#endif
#if NIBBLE_BUILT_AVX2
  if ((cpu().bits & kAvx2) != 0) return avx2_encode_ops();
#endif
  return ref_encode_ops();
}

}  // namespace nibble
