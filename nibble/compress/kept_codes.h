// Weights of a quantized source that are written with the codes that they have.
#pragma once

#include <optional>

#include "nibble/model/model.h"

namespace nibble {

struct KeptCodes {
  QuantScheme scheme;  ///< as the output has it: GGUF says nothing of inputs
  DType scale_dtype;   ///< WritableParameter::dtype
};

/// How a folder, or a GGUF file, holds the codes and scales of `w` as they are; nothing where it
/// cannot. Tables of folders are floats everywhere. Scales of GGUF are halves, and its inputs have
/// no order of their own.
std::optional<KeptCodes> kept_codes(const ParamSpec& spec, const QuantizedTensor& w, bool in_gguf);
/// `w` in that scheme: what it says besides (numbers of its inputs) goes where the scheme does not
/// need it.
Weight with_kept_codes(Weight w, const QuantScheme& scheme);

}  // namespace nibble
