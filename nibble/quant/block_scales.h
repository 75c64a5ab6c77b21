// Settling the scales of GGUF's block types: of each group the scale (and offset) that its weights
// want, of each block of kSuperBlock inputs what these are made of, bytes times a half.
#pragma once

#include <span>

#include "nibble/quant/grid.h"

namespace nibble {

/// Chooses every grid of `m` (LevelRange::blocks) and rounds w [n, k] to nearest on it, minimizing
/// sum_j importance[j] (w_j - q_j)^2. Without `importance` [k] large weights count more, as in
/// ggml's own encoders (ggml-quants.c): mean |w| + |w_j|.
///
/// First each group alone: of some starting grids the one whose levels, with their least-squares
/// scale and offset, leave the least error. Then two levels: bytes next to what the groups want,
/// of each group those (and their neighbours) that leave the least error, and the least-squares
/// super scale and super offset of all, in turns. No offset is above 0.
void settle_blocks(GridMatrix& m, std::span<const float> w, std::span<const float> importance,
                   int threads);

}  // namespace nibble
