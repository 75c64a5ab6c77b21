// Rescaling before quantizing: the same function, with channels (or, rotated, directions) that
// round better.
#pragma once

#include <string>
#include <vector>

#include "nibble/compress/calibration_text.h"
#include "nibble/compress/method_chain.h"
#include "nibble/compress/quantize.h"
#include "nibble/core/json.h"

namespace nibble {

/// Applies a step to the model that the plans are for. `model` must outlive the result.
Model apply_step(const std::string& step, const Model& model,
                 const std::vector<ParameterPlan>& plans, const QuantizeOptions& options,
                 const CalibrationText& text, std::vector<SiteReport>& reports, const Exec& exec);

/// The scale of the inputs of every weight whose plan says a8static, by stored name: f32 [1].
TensorMap static_scales(const Model& model, const std::vector<ParameterPlan>& plans,
                        const CalibrationText& text, const std::string& spill_folder,
                        const Exec& exec);

}  // namespace nibble
