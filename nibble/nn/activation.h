// Activation functions inside the MLP, applied in place.
#pragma once

#include <span>

namespace nibble {

void relu(std::span<float> x);
/// 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))): GPT-2's gelu_new (Hendrycks and Gimpel 2016).
void gelu_tanh(std::span<float> x);
/// 0.5 x (1 + erf(x / sqrt 2)).
void gelu(std::span<float> x);
/// up *= gate * sigmoid(gate): SwiGLU (Shazeer 2020).
void silu_gate(std::span<const float> gate, std::span<float> up);

}  // namespace nibble
