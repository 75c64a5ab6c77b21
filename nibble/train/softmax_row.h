// Softmax by the kernel that training has for the loss.
#pragma once

#include <cmath>

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

}  // namespace nibble
