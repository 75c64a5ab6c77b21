// Rounding against the error that the whole model sees, tr(G (W - Q) H (W - Q)^T): H of the inputs,
// G of the outputs (quant/output_metric.h). YAQA (Tseng, Sun, De Sa 2025, "Model-Preserving
// Adaptive Rounding"): error feedback over columns as in GPTQ, and over rows as well.
#pragma once

#include <span>

#include "nibble/quant/output_metric.h"
#include "nibble/quant/second_order.h"

namespace nibble {

/// G + damping * diag(G), block by block; outputs that hardly matter count as a thousandth of the
/// mean at least.
OutputMetric damped(const OutputMetric& metric, double damping);

/// Rounds w [n, k] to the grids that `m` has: rows that matter most first, each from what the
/// errors of the rows before it (in its block of G) and of its own columns before make of it. False
/// where H or G is not positive definite. The same bytes for any number of threads.
bool round_two_sided(GridMatrix& m, std::span<const float> w, const DampedHessian& hessian,
                     const OutputMetric& metric, bool act_order, int threads);

/// Coordinate descent behind it: weight by weight, the level that is best with all others as they
/// are; then each group's scale by least squares. The error never rises. A block of G is done with
/// after a sweep that took away less than a share of `least_gain` of its error.
void descend_two_sided(GridMatrix& m, std::span<const float> w, const DampedHessian& hessian,
                       const OutputMetric& metric, int sweeps, double least_gain, int threads);

/// tr(G (W - Q) H (W - Q)^T) / tr(G): output_error() of outputs that do not count alike.
double output_error(std::span<const float> w, std::span<const float> q, int64_t k,
                    std::span<const float> hessian, const OutputMetric& metric, int threads);

}  // namespace nibble
