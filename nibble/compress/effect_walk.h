// What one changed matrix does to a whole model once the matrices behind it have made up for it, as
// they do in a calibrated walk (compress/calibrated_walk.h).
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "nibble/compress/calibration_text.h"
#include "nibble/compress/input_walk.h"
#include "nibble/compress/quantize.h"

namespace nibble {

struct EffectOptions {
  size_t measured = 1;    ///< samples at the end of the text that only KL is measured on
  bool corrected = true;  ///< whether the matrices behind make up for the change
  double damping = 0.1;   ///< as QuantizeOptions has them
  double correction = 1;
};

/// KL(original || changed), nats, of the model in which only the matrix `name`, one of the group at
/// hand, is `weight`. The matrices in `plans` that run behind it are not rounded.
using Effect = std::function<double(const std::string& name, const Tensor& weight)>;

/// Calls f for every group in the order in which they run, with the rows that it reads in the
/// original model. Three copies of the residual streams are in memory.
void walk_effects(const Model& model, const std::vector<ParameterPlan>& plans,
                  const CalibrationText& text, const EffectOptions& options, const Exec& exec,
                  const std::function<void(const GroupInput&, const Effect&)>& f);

}  // namespace nibble
