// Weights and inputs that tests of linear layers share.
#pragma once

#include <cstdint>
#include <vector>

#include "nibble/core/tensor.h"

namespace nibble::test {

// Numbers in [-1, 1) that are the same everywhere.
inline std::vector<float> drawn_noise(int64_t count, uint64_t seed) {
  std::vector<float> out(static_cast<size_t>(count));
  uint64_t state = seed * 2654435761u + 1;
  for (float& v : out) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    v = static_cast<float>(static_cast<int64_t>(state >> 33) - (1 << 30)) / (1 << 30);
  }
  return out;
}

inline Tensor drawn_matrix(int64_t n, int64_t k, uint64_t seed) {
  return Tensor::from<float>(Shape{n, k}, drawn_noise(n * k, seed));
}

}  // namespace nibble::test
