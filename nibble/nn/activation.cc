#include "nibble/nn/activation.h"

#include <cmath>

#include "nibble/nn/exp.h"

namespace nibble {

void relu(std::span<float> x) {
  for (float& v : x) v = v > 0 ? v : 0.0f;
}

void gelu_tanh(std::span<float> x) {
  // (1 + tanh u) / 2 = 1 / (1 + e^-2u)
  constexpr float kMinusTwoRootTwoOverPi = -1.5957691216057308f;
  for (float& v : x)
    v = v / (1.0f + exp_fast(kMinusTwoRootTwoOverPi * (v + 0.044715f * v * v * v)));
}

void gelu(std::span<float> x) {
  constexpr float kRootHalf = 0.7071067811865476f;
  for (float& v : x) v = 0.5f * v * (1.0f + std::erf(v * kRootHalf));
}

void silu_gate(std::span<const float> gate, std::span<float> up) {
  for (size_t i = 0; i < up.size(); ++i) up[i] *= gate[i] / (1.0f + exp_fast(-gate[i]));
}

}  // namespace nibble
