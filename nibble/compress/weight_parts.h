// A quantized weight as plain tensors with names of their own: what the files of an unfinished run
// hold, whatever its scheme.
#pragma once

#include <string>
#include <vector>

#include "nibble/format/safetensors.h"
#include "nibble/quant/quantized_tensor.h"

namespace nibble {

/// "NAME.codes", "NAME.scales", ... : the parts that there are, and its shape.
std::vector<NamedTensor> parts_of(const std::string& name, const QuantizedTensor& q);
/// The reverse. Errors name the tensor.
QuantizedTensor from_parts(const TensorSource& source, const std::string& name,
                           const QuantScheme& scheme);

}  // namespace nibble
