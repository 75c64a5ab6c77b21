// A quantized model run with its inputs rounded as well, as llama.cpp and others run theirs.
#pragma once

#include <string_view>

#include "nibble/model/model.h"

namespace nibble {

/// "a8" or "a8full", as in the spelling of a scheme. Error{invalid_argument} for another, or for
/// one that needs numbers from calibration.
ActivationType parse_activations(std::string_view name);

/// `model` with the inputs of its quantized matrices rounded in that way where the type of their
/// weights can be multiplied so; the others stay as they are, and that is told among the warnings.
/// Error{invalid_argument} where there is no matrix that it does anything to.
Model with_activations(const Model& model, ActivationType activations);

}  // namespace nibble
