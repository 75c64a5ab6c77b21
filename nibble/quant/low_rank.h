// LowRank: a change of a weight [n, k] that is held as two thin matrices (LoRA, Hu et al. 2021).
#pragma once

#include <cstdint>
#include <span>

#include "nibble/core/tensor.h"

namespace nibble {

/// B A, of rank r.
struct LowRank {
  Tensor a;  ///< f32 [r, k]
  Tensor b;  ///< f32 [n, r], whatever B A is multiplied with included

  int64_t rank() const { return a.shape()[0]; }
  size_t bytes() const { return a.bytes() + b.bytes(); }
  /// out[k] += row `row` of B A.
  void add_row(int64_t row, std::span<float> out) const;
  /// values[n, k] += B A.
  void add(std::span<float> values, int threads) const;
};

/// Both changes as one: their ranks side by side. They must be of one shape (checked).
LowRank sum(const LowRank& x, const LowRank& y);

}  // namespace nibble
