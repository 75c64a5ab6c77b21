// What is done to the products of a site before they are stored, forward and backward, for every
// LinearEnd.
#pragma once

#include <cstdint>

#include "nibble/kernels/train.h"
#include "nibble/nn/linear.h"

namespace nibble {

/// n elements each. `gate` only where the end is a gate; `kept` is what backward needs besides.
template <class T>
struct ActivationTask {
  LinearEnd end;
  int64_t n;
  const T *gate, *up;
  T *activated, *kept;
};

/// Whether `kept` is written.
bool keeps_more(LinearEnd end);
/// activated = f(up), or f(gate) * up.
template <class T>
void activate(const ActivationTask<T>& a, const TrainOps<T>& ops);
/// dup (and dgate where there is one) from dactivated, after activate() on the same. dup may be
/// dactivated.
template <class T>
void activate_backward(const ActivationTask<T>& a, const T* dactivated, T* dgate, T* dup,
                       const TrainOps<T>& ops);

}  // namespace nibble
