#include "nibble/train/narrow_weights.h"

#include "nibble/kernels/layer.h"

namespace nibble {

NarrowWeights::NarrowWeights(const FlatLayout& layout)
    : rounded_(static_cast<size_t>(layout.matrices_end)) {}

void NarrowWeights::round(const MatrixSlot& slot, const float* weights) {
  best_layer_ops().to_bf16(weights + slot.weight, slot.n * slot.k, rounded_.data() + slot.weight);
}

void NarrowWeights::put_into(DecoderView<float>& view, const float* weights) const {
  const auto narrow = [&](MatrixView<float>& m) {
    m.narrow = rounded_.data() + (m.weight - weights);
  };
  for (auto& layer : view.layers) {
    for (auto& site : layer.sites)
      for (MatrixView<float>& m : site) narrow(m);
  }
  if (view.head.matrix.weight != nullptr) narrow(view.head.matrix);
}

}  // namespace nibble
