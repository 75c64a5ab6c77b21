// Weights that make up for what was quantized before them.
#pragma once

#include <span>
#include <vector>

#include "nibble/quant/calibration.h"

namespace nibble {

/// The weight W' [n, k] whose outputs on the rows x of the quantized model are nearest to what the
/// original W gives on the original rows y, or to the outputs t that the statistics name as target:
///   W' = W + strength D (E[x x^T] + damping mean(diag) I)^-1,
///   D = W E[(y - x) x^T], or E[t x^T] - W E[x x^T].
/// Asymmetric calibration (Li et al. 2025, GPTAQ), here as a change of the target, and for the
/// residual stream as well. W itself where the statistics hold no such sums or H cannot be solved.
std::vector<float> corrected_weight(std::span<const float> w, int64_t n,
                                    const InputStatistics& input, double damping, double strength,
                                    int threads);

}  // namespace nibble
