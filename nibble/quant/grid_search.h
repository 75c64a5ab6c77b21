// Searching the scale (and zero point) of each group for the smallest weighted squared error.
#pragma once

#include <span>

#include "nibble/quant/grid.h"

namespace nibble {

/// Chooses every grid of `m` and rounds w [n, k] to nearest on it, minimizing
/// sum_j importance[j] (w_j - q_j)^2 group by group: scales around the group's range are tried,
/// each followed by the least-squares scale of the levels it gives, s = sum h w u / sum h u^2. An
/// empty `importance` weighs all columns alike. Symmetric grids may get a negative scale.
/// Error{corrupt} for a scale that does not fit.
void search_grids(GridMatrix& m, std::span<const float> w, std::span<const float> importance,
                  int threads);

/// The same for one group: the best grid for x with weights h (same length).
Grid search_grid(const LevelRange& range, std::span<const float> x, std::span<const float> h,
                 DType scale_dtype);

}  // namespace nibble
