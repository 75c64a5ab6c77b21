// Weights that make up for what was quantized before them.
#pragma once

#include <span>
#include <vector>

#include "nibble/quant/calibration.h"

namespace nibble {

/// For the weights W [n, k] that read one input, the W' whose outputs on the rows x of the
/// quantized model are nearest to what W gives on the original rows y, or to the outputs t that the
/// statistics name as target:
///   W' = W + strength D (E[x x^T] + damping mean(diag) I)^-1,
///   D = W E[(y - x) x^T], or E[t x^T] - W E[x x^T].
/// Asymmetric calibration (Li et al. 2025, GPTAQ), here as a change of the target, and for the
/// residual stream as well. W itself where the statistics hold no such sums or H cannot be solved.
class Correction {
 public:
  /// Factors H, once for all weights. The statistics are referred to, not copied.
  Correction(const InputStatistics& input, double damping, double strength, int threads);
  std::vector<float> apply(std::span<const float> w, int64_t n) const;

 private:
  const InputStatistics& input_;
  double strength_;
  int threads_;
  std::vector<float> factor_;  // [k, k]; empty where there is nothing to be made up for
  std::vector<float> cross_;   // [k, k], -E[(y - x) x^T]
};

}  // namespace nibble
