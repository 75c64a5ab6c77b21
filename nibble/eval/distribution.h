// Distributions and outliers of weights and activations: pure functions over numbers.
//
// Sums run in f64 in the order of the values, so results are the same bytes everywhere. Values that
// are not finite are left out of every statistic and counted apart.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace nibble {

struct Histogram {
  double low = 0, high = 0;
  std::vector<int64_t> counts;
};
/// `bins` equal bins over [low, high]; values outside go to the outermost bins, `high` to the last.
/// low == high is widened. Error{invalid_argument} for bins < 1, low > high or bounds not finite.
Histogram histogram(std::span<const float> values, double low, double high, int bins);

struct Moments {
  int64_t count = 0;  ///< finite values
  double mean = 0;
  double standard_deviation = 0;  ///< of the population: divided by count
  double minimum = 0, maximum = 0, absmax = 0;
  double kurtosis = 0;     ///< fourth standardized moment; 3 for a normal distribution, 0 where all
                           ///< values are equal
  int64_t not_finite = 0;  ///< NaN and infinities, in none of the above
};
Moments moments(std::span<const float> values);

/// Values further than k standard deviations from the mean. A channel is a row: for weights [n, k]
/// an output; activations [tokens, width] are passed transposed, so that a row is one feature.
struct OutlierStats {
  std::string tensor;
  double k = 6;
  Moments moments;
  int64_t outliers = 0;  ///< over the whole tensor
  double share = 0;      ///< outliers / count
  /// Outliers in each row, by the tensor's own mean and deviation.
  std::vector<int64_t> by_channel;
  /// The same, by the mean and deviation of that row. A row of c values holds none beyond
  /// (c - 1) / sqrt(c) deviations: below 38 columns this is 0 for k = 6.
  std::vector<int64_t> by_own_channel;
  /// Largest channel absmax / median channel absmax; 0 where the median is 0.
  double worst_channel_ratio = 0;
  int64_t worst_channel = 0;  ///< the row with the largest absmax, the first of equals
};
/// Error{invalid_argument} where values.size() != n * columns or k is not positive.
OutlierStats find_outliers(std::string tensor, std::span<const float> values, int64_t n,
                           int64_t columns, double k);

/// What each remedy does to the mean squared error of `bits`-bit symmetric rounding of one
/// [n, columns] matrix: s = absmax / (2^(bits-1) - 1) in f32, q = round-half-even(x / s).
struct RemedyErrors {
  std::string tensor;
  int bits = 8;
  double per_tensor = 0;  ///< one scale, outliers included
  /// One scale, values first clipped to mean +- clip_threshold; the error is against the original.
  double clipped = 0;
  double per_channel = 0;     ///< a scale a row
  double clip_threshold = 0;  ///< k standard deviations
};
/// Error{invalid_argument} as find_outliers(), and for bits outside 2..8.
RemedyErrors remedy_errors(std::string tensor, std::span<const float> values, int64_t n,
                           int64_t columns, int bits, double k);

}  // namespace nibble
