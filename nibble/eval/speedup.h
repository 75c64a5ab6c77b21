// How many times as fast one model is as another, and how sure that is.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <span>

#include "nibble/eval/latency.h"

namespace nibble {

struct Interval {
  double low = 0, high = 0;
};

/// Where the median of what the values were drawn from lies, with a confidence of 95 % or more,
/// whatever its distribution: between the k-th smallest and the k-th largest value, by the sign
/// test. Nothing of fewer than 6 values, or where one is not finite. Of 60 and more, medians of
/// stretches of neighbours count as the values, 20 and a few: what comes and goes meanwhile
/// strikes neighbours alike, and many quick values would seem to tell more than they do.
std::optional<Interval> median_interval(std::span<const double> values);

/// Of work that was timed in the same rounds.
struct Speedup {
  int64_t rounds = 0;
  /// Of the ratios baseline / model, each of one round; NaN where nothing was timed.
  double median = std::numeric_limits<double>::quiet_NaN();
  /// Of that median, where the rounds are enough for one.
  std::optional<Interval> interval;
};

/// Both hold a time of each round, in order; else nothing is known.
Speedup speedup(const Latency& model, const Latency& base);

/// What may be said of it.
enum class Speed {
  unknown,  ///< nothing was timed, or too few rounds
  slower,   ///< the whole interval lies below 0.95
  same,     ///< within 0.95 to 1.05
  unclear,  ///< none of these: the times vary too much to tell
  faster,   ///< above 1.05
};
Speed judge_speed(const Speedup& s);

}  // namespace nibble
