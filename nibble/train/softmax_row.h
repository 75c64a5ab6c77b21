// What is done to rows of scores: softmax by the kernel that training has for the loss, softcaps.
#pragma once

#include <cmath>
#include <type_traits>

#include "nibble/kernels/layer.h"
#include "nibble/kernels/train.h"

namespace nibble {

/// x = softmax(x) of one row of n logits, in place.
template <class T>
void softmax_row(const TrainOps<T>& ops, int64_t n, T* x) {
  const int32_t target = 0;
  T sum, gap;
  ops.cross_entropy(1, n, n, &target, T{1}, x, &sum, &gap);
  // The loss's gradient is softmax minus one at the target; what was there is exp(-gap) / sum.
  x[0] = std::exp(-gap) / sum;
}

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
