// Observers: which range of activations a fixed scale should cover. One interface, one class for
// each way to choose; rows are [m, k], and a range is for the whole tensor.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

namespace nibble {

struct ValueRange {
  float low = 0, high = 0;  ///< low <= 0 <= high
  /// The largest magnitude: what a symmetric scale is made of.
  float absmax() const { return -low > high ? -low : high; }
};

class RangeObserver {
 public:
  virtual ~RangeObserver() = default;
  /// A batch of values; those that are not finite are left out.
  virtual void add(std::span<const float> values) = 0;
  /// The range chosen from all batches so far; {0, 0} where nothing was seen.
  virtual ValueRange range() const = 0;
};

/// Smallest and largest of all.
std::unique_ptr<RangeObserver> min_max_observer();

/// An exponential moving average of each batch's extremes: r = decay r + (1 - decay) batch, the
/// first batch as it is (Jacob et al. 2018). 0 <= decay < 1.
std::unique_ptr<RangeObserver> moving_average_observer(double decay = 0.9);

/// A histogram of `bins` bins whose range doubles as values outgrow it, and what is chosen from it.
enum class HistogramRule {
  percentile,  ///< cuts off the share 1 - `share` of values with the largest magnitude
  mse,  ///< the symmetric range with the least squared error of rounding to `bits` bits inside it
  kl,   ///< the range whose distribution, rounded to 2^(bits-1) levels of magnitude, has the least
        ///< KL from the original's (Migacz 2017, TensorRT)
};
struct HistogramOptions {
  HistogramRule rule = HistogramRule::percentile;
  double share = 0.9999;
  int bits = 8;
  int64_t bins = 2048;
};
/// Error{invalid_argument} for a share outside (0, 1], bits outside 2..8, fewer than 256 bins or an
/// odd number of them.
std::unique_ptr<RangeObserver> histogram_observer(const HistogramOptions& options);

}  // namespace nibble
