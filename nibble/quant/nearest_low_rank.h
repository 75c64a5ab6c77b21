// The low-rank change that is nearest to a matrix.
#pragma once

#include <cstdint>
#include <span>

#include "nibble/quant/low_rank.h"

namespace nibble {

/// B A of that rank with the least sum of squares of values [n, k] - B A (Eckart and Young 1936):
/// the largest singular values, shared evenly by A and B, found by iterating a subspace from random
/// directions (Halko et al. 2011). rank is at most n and k. The same bytes everywhere but for the
/// rounding of sums.
LowRank nearest_low_rank(std::span<const float> values, int64_t n, int64_t k, int64_t rank);

}  // namespace nibble
