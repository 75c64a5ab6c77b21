// Softcaps of scores.
#pragma once

#include <cmath>
#include <type_traits>

#include "nibble/kernels/layer.h"

namespace nibble {

/// x = cap tanh(x / cap) of n scores (Gemma Team 2024), and its slope at each.
template <class T>
void soft_cap(T cap, int64_t n, T* x, T* slope) {
  if constexpr (std::is_same_v<T, float>) {
    best_layer_ops().soft_cap(cap, n, x);
  } else {
    for (int64_t i = 0; i < n; ++i) x[i] = cap * std::tanh(x[i] / cap);
  }
  for (int64_t i = 0; i < n; ++i) slope[i] = T{1} - x[i] / cap * (x[i] / cap);
}

}  // namespace nibble
