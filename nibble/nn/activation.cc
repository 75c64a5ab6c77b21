#include "nibble/nn/activation.h"

#include <cmath>

namespace nibble {

void gelu(std::span<float> x) {
  constexpr float kRootHalf = 0.7071067811865476f;
  for (float& v : x) v = 0.5f * v * (1.0f + std::erf(v * kRootHalf));
}

}  // namespace nibble
