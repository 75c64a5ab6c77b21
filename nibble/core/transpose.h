// Matrices with rows and columns exchanged.
#pragma once

#include "nibble/core/tensor.h"

namespace nibble {

/// A matrix [n, k] as [k, n], in memory of its own.
Tensor transpose(const Tensor& matrix);

}  // namespace nibble
