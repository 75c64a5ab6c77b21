// What stands between the projections of a block's MLP, forward and backward, for every MlpKind.
#pragma once

#include <cstdint>

#include "nibble/kernels/train.h"
#include "nibble/model/config.h"

namespace nibble {

/// n elements each. `gate` only where the MLP is gated; `kept` is what backward needs besides.
template <class T>
struct BlockActivation {
  MlpKind kind;
  int64_t n;
  const T *gate, *up;
  T *activated, *kept;
};

/// activated = f(up), or silu(gate) * up.
template <class T>
void activate(const BlockActivation<T>& a, const TrainOps<T>& ops);
/// dup (and dgate where there is one) from dactivated, after activate() on the same.
template <class T>
void activate_backward(const BlockActivation<T>& a, const T* dactivated, T* dgate, T* dup,
                       const TrainOps<T>& ops);

}  // namespace nibble
