#include "nibble/kernels/encode.h"

#include "nibble/kernels/dispatch.h"

namespace nibble {

const EncodeOps& best_encode_ops() {
  static constexpr OpsRow<EncodeOps> kRows[] = {
#if NIBBLE_BUILT_AVX512
    {KernelIsa::avx512, avx512_encode_ops},
#endif
#if NIBBLE_BUILT_AVX2
    {KernelIsa::avx2, avx2_encode_ops},
#endif
    {KernelIsa::ref, ref_encode_ops},
  };
  return best_of(kRows);
}

}  // namespace nibble
