// Distributions and outliers of weights and activations: pure functions over numbers.
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
/// `bins` equal bins over [low, high]; values outside go to the outermost bins. low == high is
/// widened.
Histogram histogram(std::span<const float> values, double low, double high, int bins);

struct Moments {
  int64_t count = 0;
  double mean = 0, standard_deviation = 0, minimum = 0, maximum = 0, absmax = 0, kurtosis = 0;
};
Moments moments(std::span<const float> values);

/// Values further than k standard deviations from the mean.
struct OutlierStats {
  std::string tensor;
  double k = 6;
  Moments moments;
  int64_t outliers = 0;  ///< over the whole tensor
  double share = 0;      ///< outliers / count
  std::vector<int64_t>
      by_channel;  ///< outliers in each row (output channel), by the tensor's own deviation
  double worst_channel_ratio = 0;  ///< largest channel absmax / median channel absmax
};
OutlierStats find_outliers(std::string tensor, std::span<const float> values, int64_t n,
                           int64_t columns, double k);

/// What each remedy does to the mean squared error of `bits`-bit symmetric rounding of one [n,
/// columns] matrix.
struct RemedyErrors {
  std::string tensor;
  int bits = 8;
  double per_tensor = 0;  ///< one scale, outliers included
  double clipped =
      0;  ///< one scale, values clipped at k standard deviations first (error against the original)
  double per_channel = 0;  ///< a scale a row
  double clip_threshold = 0;
};
RemedyErrors remedy_errors(std::string tensor, std::span<const float> values, int64_t n,
                           int64_t columns, int bits, double k);

}  // namespace nibble
