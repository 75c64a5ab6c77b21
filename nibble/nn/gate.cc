#include "nibble/nn/gate.h"

#include <algorithm>

#include "nibble/core/error.h"
#include "nibble/kernels/layer.h"

namespace nibble {
namespace {

void clamped_gate(const LayerOps& ops, float* gate, int64_t n, float* up) {
  for (int64_t i = 0; i < n; ++i) {
    const float g = std::min(gate[i], kClampedLimit);
    up[i] = (std::clamp(up[i], -kClampedLimit, kClampedLimit) + 1) * g;
    gate[i] = kClampedSlope * g;
  }
  ops.sigmoid_gate(gate, n, up);
}

}  // namespace

void apply_gate(LinearEnd end, float* gate, int64_t n, float* up) {
  const LayerOps& ops = best_layer_ops();
  if (end == LinearEnd::silu_gate) return ops.silu_gate(gate, n, up);
  if (end == LinearEnd::clamped_gate) return clamped_gate(ops, gate, n, up);
  NIBBLE_CHECK(end == LinearEnd::gelu_tanh_gate);
  ops.gelu_tanh(n, gate);
  for (int64_t i = 0; i < n; ++i) up[i] *= gate[i];
}

}  // namespace nibble
