// What every projection of a model reads, site by site: the inputs of one site are in memory at a
// time, besides the residual streams of the samples.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "nibble/compress/calibration_text.h"
#include "nibble/model/config.h"
#include "nibble/quant/calibration.h"

namespace nibble {

/// The rows that the projections of one site read; of one expert, where a site has several.
struct GroupInput {
  int layer = -1;                      ///< -1 for lm_head
  std::string_view title = "lm_head";  ///< of the site
  std::vector<ParamSpec> reads;        ///< weights of the group
  InputStatistics statistics;
  std::vector<float> sample;  ///< some of the rows, evenly spread, [m, k]
};

struct InputWalkOptions {
  bool hessian = false;
  int64_t sample_rows = 0;
  bool head = true;          ///< lm_head as well
  bool joint = false;        ///< weights of all experts that read the same rows, together
  std::string spill_folder;  ///< for the rows, as QuantizeOptions has it
};

/// Calls f for every group in the order in which they run. The model is run as it is.
void walk_inputs(const Model& model, const CalibrationText& text, const InputWalkOptions& options,
                 const Exec& exec, const std::function<void(const GroupInput&)>& f);

}  // namespace nibble
