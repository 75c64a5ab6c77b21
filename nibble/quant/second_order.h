// Choosing levels against the full second-order error tr((W - Q) H (W - Q)^T).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "nibble/quant/grid.h"
#include "nibble/quant/method.h"

namespace nibble {

/// H + damping * diag(H), and what the passes below need of it.
struct DampedHessian {
  int64_t k = 0;
  std::vector<float> h;  ///< [k, k], damped
};

/// Rounds w [n, k] to the grids that `m` has, column by column with error feedback (GPTQ;
/// act-order: columns with the largest diagonal first, the grids chosen before and so independent
/// of the order). False where H is not positive definite.
bool round_with_feedback(GridMatrix& m, std::span<const float> w, const DampedHessian& hessian,
                         bool act_order, int threads);

struct DescentOptions {
  int sweeps = 4;
  /// 64 rows are done with after a sweep that took away less than this share of their error: each
  /// sweep takes away about half of what the one before it did.
  double least_gain = 0;
  bool search_scales = true;  ///< choose grids again as well; shared grids never change
};

/// Block coordinate descent on levels and grids: group by group, with all other groups fixed, the
/// group's levels are chosen again by error feedback inside the group for several scales (and zero
/// points), and what lowers the error is taken. The error never rises. Groups of more than 128
/// columns are worked on 64 columns at a time, their scales fitted by least squares after each
/// sweep.
bool descend(GridMatrix& m, std::span<const float> w, const DampedHessian& hessian,
             const DescentOptions& options, int threads);

/// tr((W - Q) H (W - Q)^T) / n, H symmetric: the mean squared error of one output over the
/// calibration rows.
double output_error(std::span<const float> w, std::span<const float> q, int64_t n, int64_t k,
                    std::span<const float> hessian, int threads);

/// gptq; with an output metric in the task, yaqa.
WeightResult quantize_second_order(const WeightTask& task);

}  // namespace nibble
