// From values to places on a plot, and the round numbers written along its edge.
#pragma once

#include <string>
#include <vector>

namespace nibble {

struct Tick {
  double value = 0;
  std::string label;
};

/// Maps [low, high] to [from, to] (pixels; from may be the larger). Logarithmic where `log`.
struct Scale {
  double low = 0, high = 1;
  double from = 0, to = 1;
  bool log = false;

  /// The place of a value, kept within [from, to]. Values that are not finite, or not positive on a
  /// logarithmic scale, go to `from`.
  double place(double value) const;
  /// About `count` round values within [low, high], labelled with as many digits as they need.
  std::vector<Tick> ticks(int count) const;
};

/// A scale over the finite ones of `values` (the positive ones where `log`), widened to round
/// bounds; [0, 1] (or [0.1, 1]) where there are none. `with_zero` includes 0.
Scale scale_over(const std::vector<double>& values, double from, double to, bool log,
                 bool with_zero);

}  // namespace nibble
