// Weights of a quantized source that are written with the codes that they have.
#pragma once

#include <optional>
#include <span>

#include "nibble/model/output_format.h"

namespace nibble {

struct KeptCodes {
  QuantScheme scheme;  ///< as the output has it: GGUF and ONNX say nothing of inputs
  DType scale_dtype;   ///< WritableParameter::dtype
};

/// How outputs hold the codes and scales of `w` as they are; nothing where one of them cannot, or
/// where they differ in what they say of its inputs. Tables of folders are floats everywhere.
/// Scales of GGUF are halves; those of ONNX become f32. Inputs that have an order of their own are
/// in no output. No output: a folder.
std::optional<KeptCodes> kept_codes(const ParamSpec& spec, const QuantizedTensor& w,
                                    std::span<const OutputFormat> outputs);
/// `w` in that scheme: what it says besides (numbers of its inputs) goes where the scheme does not
/// need it.
Weight with_kept_codes(Weight w, const QuantScheme& scheme);

}  // namespace nibble
