// The matrices of a flat array once more in bf16, for products in half the time: what is trained,
// and what the optimizer adds to, stays in f32 (Micikevicius et al. 2018).
#pragma once

#include <cstdint>
#include <vector>

#include "nibble/train/layout.h"

namespace nibble {

/// Of use only where has_bf16_products().
class NarrowWeights {
 public:
  explicit NarrowWeights(const FlatLayout& layout);
  /// Rounds what a product is made of; `weights` is the flat array.
  void round(const MatrixSlot& slot, const float* weights);
  /// Every matrix of a view whose weights lie in `weights` is multiplied with as bf16, but for
  /// routers, which decide. Refers to this.
  void put_into(DecoderView<float>& view, const float* weights) const;

 private:
  std::vector<uint16_t> rounded_;  // each where it lies in the flat array
};

}  // namespace nibble
