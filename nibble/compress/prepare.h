// What comes before the weights of a model are quantized: its text, and the steps of the method
// that change the model itself.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "nibble/compress/calibration_text.h"
#include "nibble/compress/fisher_walk.h"
#include "nibble/compress/given_importance.h"
#include "nibble/compress/quantize.h"
#include "nibble/core/exec.h"
#include "nibble/model/model.h"

namespace nibble {

/// What is left to be quantized when the steps of a method are done.
struct Prepared {
  std::vector<std::unique_ptr<Model>> stages;  ///< each reads the one before
  const Model* model = nullptr;                ///< the last of them, or the original
  QuantizeOptions options;                     ///< the quantizer's
  std::vector<ParameterPlan> plans;
  std::optional<CalibrationText> text;           ///< where anything is calibrated on one
  std::optional<CalibrationText> training_text;  ///< where options.trains_blocks
  std::optional<GivenImportance> importance;     ///< where options.importance_file stands in for it
  TensorMap static_scales;                       ///< of a8static inputs, by the name of the weight
  const OutputMetrics* metrics = nullptr;        ///< of `model`, where they are known already
};

/// Makes the plans and whatever they need. `beside`: the folder to be made, empty where none is;
/// files for activations go there. Error{out_of_memory} where options.max_memory is too little,
/// said before any work.
Prepared prepare(const Model& original, const std::string& beside, const QuantizeOptions& options,
                 const Known& known, QuantizeResult& result, const Exec& exec);

/// True where a calibrated method sees the inputs of this matrix: tables are not multiplied.
bool is_walked(const ParamSpec& spec);

/// True for a token table that is rounded for what the model's gradients make of its rows
/// (judges_table()): the quantizer reads them, and the scheme is one that it rounds to.
bool is_judged(const Model& model, const QuantizeOptions& options, const ParameterPlan& plan);

/// True where the quantizer that is left looks at inputs.
bool is_calibrated(const QuantizeOptions& options);

/// Runs `f`; what is wrong with a tensor is said with the model that it is in.
void naming_model(const Model& model, const std::function<void()>& f);

}  // namespace nibble
