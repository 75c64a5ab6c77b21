#include "nibble/nn/activation.h"

#include <cmath>

namespace nibble {

void relu(std::span<float> x) {
  for (float& v : x) v = v > 0 ? v : 0.0f;
}

void gelu_tanh(std::span<float> x) {
  constexpr float kRootTwoOverPi = 0.7978845608028654f;
  for (float& v : x)
    v = 0.5f * v * (1.0f + std::tanh(kRootTwoOverPi * (v + 0.044715f * v * v * v)));
}

void gelu(std::span<float> x) {
  constexpr float kRootHalf = 0.7071067811865476f;
  for (float& v : x) v = 0.5f * v * (1.0f + std::erf(v * kRootHalf));
}

void silu_gate(std::span<const float> gate, std::span<float> up) {
  for (size_t i = 0; i < up.size(); ++i) up[i] *= gate[i] / (1.0f + std::exp(-gate[i]));
}

}  // namespace nibble
