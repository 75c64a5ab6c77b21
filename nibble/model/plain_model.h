// A quantized model as a source of others: its weights are the floats that their codes stand for.
#pragma once

#include "nibble/model/model.h"

namespace nibble {

/// `model` with every quantized weight dequantized, exactly, as it is asked for: one is in memory
/// at a time. `as_stored` of the result gives them with their codes; a copy of them without is said
/// to be f16. Told among the warnings. A model that is not quantized comes back as it is.
Model plain_model(const Model& model);

}  // namespace nibble
