// Activation functions that LayerOps (kernels/layer.h) does not have.
#pragma once

#include <span>

namespace nibble {

/// 0.5 x (1 + erf(x / sqrt 2)), in place.
void gelu(std::span<float> x);

}  // namespace nibble
