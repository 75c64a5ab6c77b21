// One weight rounded by a method that knows what its inputs are like.
#pragma once

#include <string>

#include "nibble/compress/layer_store.h"
#include "nibble/compress/quantize.h"

namespace nibble {

struct CalibratedTask {
  const Tensor& weight;  ///< as it is to be rounded
  const ParameterPlan& plan;
  const QuantizeOptions& options;  ///< the quantizer's
  const InputStatistics& input;
  const OutputMetric* output = nullptr;
};

/// `note`: what is to be known of its inputs, or nothing. With options.strict a note, of the inputs
/// or of the method, is Error{corrupt} naming the tensor.
FinishedWeight calibrated_weight(const CalibratedTask& task, const std::string& note, int threads);

/// "layers.0.attn.wq.weight error 0.01 (rtn 0.02), damping 0.1", for progress.
std::string describe(const LayerReport& report);

}  // namespace nibble
