// The scale and offset that one group's weights want, as numbers of their own.
#pragma once

#include <span>

#include "nibble/quant/grid.h"

namespace nibble {

/// A group: weights x, what each counts.
struct WeighedGroup {
  std::span<const float> x, h;
};

/// The least-squares grid for a group: q = level * scale, or + offset (at most 0) where the range
/// has offsets. A scale of 0 where all weights are 0 or the same.
Grid fit_group(const LevelRange& range, const WeighedGroup& group);

/// sum h (x - q)^2 with each weight on its nearest level.
double error_on(const LevelRange& range, const WeighedGroup& group, const Grid& g);

}  // namespace nibble
