#include "nibble/kernels/layer.h"

#include "nibble/kernels/dispatch.h"

namespace nibble {

const LayerOps& best_layer_ops() {
  static constexpr OpsRow<LayerOps> kRows[] = {
#if NIBBLE_BUILT_AVX512
    {KernelIsa::avx512, avx512_layer_ops},
#endif
#if NIBBLE_BUILT_AVX2
    {KernelIsa::avx2, avx2_layer_ops},
#endif
    {KernelIsa::ref, portable_layer_ops},
  };
  return best_of(kRows);
}

}  // namespace nibble
