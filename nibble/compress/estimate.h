// What quantizing will need, told before it begins.
#pragma once

#include <vector>

#include "nibble/compress/quantize.h"

namespace nibble {

struct QuantizeEstimate {
  int64_t memory_bytes = 0;   ///< at its peak, activations in memory
  int64_t spilled_bytes = 0;  ///< the same with activations in a file
  /// To write the calibration text, which is in both of these, or to check one from a file, which
  /// is in neither: under a limit that leaves no room for it, it is left out.
  int64_t text_bytes = 0;
  int64_t file_bytes = 0;  ///< of the matrices that will be written
  double seconds = 0;      ///< by products and rounding timed on this machine
  int64_t tokens = 0;      ///< of calibration
};

/// Counts and times: a fraction of a second of work. `tokens` of samples of `length` each are
/// assumed, where the method is calibrated.
QuantizeEstimate estimate_quantization(const Model& model, const std::vector<ParameterPlan>& plans,
                                       const QuantizeOptions& options, int threads);

}  // namespace nibble
