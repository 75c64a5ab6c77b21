#include "nibble/nn/gate.h"

#include "nibble/core/error.h"
#include "nibble/kernels/layer.h"

namespace nibble {

void apply_gate(LinearEnd end, float* gate, int64_t n, float* up) {
  const LayerOps& ops = best_layer_ops();
  if (end == LinearEnd::silu_gate) return ops.silu_gate(gate, n, up);
  NIBBLE_CHECK(end == LinearEnd::gelu_tanh_gate);
  ops.gelu_tanh(n, gate);
  for (int64_t i = 0; i < n; ++i) up[i] *= gate[i];
}

}  // namespace nibble
