// Large f32 products by oneDNN, on the calling thread alone.
#pragma once

#include <cstdint>

#include "nibble/kernels/train.h"

namespace nibble {

/// True where oneDNN is faster than our own kernels: when b no longer fits the first-level caches,
/// which ours does not block for (measured in docs/performance.md).
bool onednn_is_better(const TrainProduct<float>& product);

/// The product. One thread, so its bytes do not depend on how many there are.
void onednn_product(const TrainProduct<float>& product);

/// Caps the instruction sets oneDNN may use at what NIBBLE_ISA allows. For commands: it holds for
/// the whole process and must come before the first product.
void cap_onednn();

}  // namespace nibble
