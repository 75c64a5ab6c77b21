// How many bits a weight costs, scales and all.
#pragma once

#include <cstdint>

#include "nibble/quant/weight.h"

namespace nibble {

/// Adds up matrices: bits_per_weight = 8 x bytes of codes, scales, zero points and orders
/// over all candidate matrices (kept ones at their stored width) / their weights.
class BitCount {
 public:
  /// A candidate matrix, quantized or kept as it is.
  void add(const Weight& w);
  int64_t bytes() const { return bytes_; }
  int64_t weights() const { return weights_; }
  /// 0 where nothing was added.
  double bits_per_weight() const;

 private:
  int64_t bytes_ = 0, weights_ = 0;
};

/// The same for one matrix.
double bits_per_weight(const QuantizedTensor& q);
/// Bytes that a weight [n, k] takes in `scheme` before it is made: what a budget is planned with. A
/// group that does not divide k is counted as int8.
int64_t planned_bytes(const QuantScheme& scheme, int64_t n, int64_t k, DType scale_dtype);

}  // namespace nibble
