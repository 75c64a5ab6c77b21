// What every projection of a model reads, block by block: the inputs of one group of projections
// are in memory at a time, besides the residual streams of the samples.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "nibble/compress/calibration_text.h"
#include "nibble/quant/calibration.h"

namespace nibble {

/// The rows that one group of projections reads.
struct GroupInput {
  int layer = -1;                ///< -1 for lm_head
  std::vector<ParamSpec> reads;  ///< weights of the group
  InputStatistics statistics;
  std::vector<float> sample;  ///< some of the rows, evenly spread, [m, k]
};

struct InputWalkOptions {
  bool hessian = false;
  int64_t sample_rows = 0;
  bool head = true;          ///< lm_head as well
  std::string spill_folder;  ///< for the rows, as QuantizeOptions has it
};

/// Calls f for every group in the order in which they run. The model is run as it is.
void walk_inputs(const ModelFolder& model, const CalibrationText& text,
                 const InputWalkOptions& options, const Exec& exec,
                 const std::function<void(const GroupInput&)>& f);

}  // namespace nibble
