// Every time that was taken of one piece of work, and what stands in the middle of them.
#pragma once

#include <cstdint>
#include <vector>

namespace nibble {

/// Seconds of a piece of work, a value for each timed run, in the order of the rounds. All figures
/// are 0 where nothing was timed, and NaN where a value is not finite.
struct Latency {
  std::vector<double> seconds;

  int64_t runs() const { return static_cast<int64_t>(seconds.size()); }
  double mean() const;
  double standard_deviation() const;
  /// Between two neighbours in order of size: in proportion to where it falls.
  double quantile(double share) const;
  double minimum() const { return quantile(0); }
  double lower_quartile() const { return quantile(0.25); }
  double median() const { return quantile(0.5); }
  double upper_quartile() const { return quantile(0.75); }
  double maximum() const { return quantile(1); }
  /// How far apart the quartiles are, as a share of the median.
  double spread() const;
};

/// `amount` over the median; 0 where nothing was timed.
double rate(double amount, const Latency& latency);

}  // namespace nibble
