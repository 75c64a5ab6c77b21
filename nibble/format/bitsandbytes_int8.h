// The 8-bit weights of bitsandbytes, LLM.int8() (wheel 0.50.2 nn/modules.py,
// autograd/_functions.py, read 2026-11; docs/formats/bitsandbytes.md): X.weight I8 [n, k], X.SCB
// F32 [n], the largest magnitude of each row, and X.weight_format, which is 0 for rows behind each
// other. Read, not written.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "nibble/format/weight_layout.h"

namespace nibble::bitsandbytes {

/// int8:a8outlier for the modules that have 8-bit weights, with the config's threshold; int8:a8
/// where it is 0. Error{unsupported} names a key of what nibble does not do.
StoredModules read_int8_config(const JsonFields& config, std::span<const MatrixModule> modules,
                               const TensorSource& tensors);

/// w = code * SCB / 127. Error{corrupt} names the tensor that is missing or does not fit.
QuantizedTensor read_int8(const TensorSource& source, const std::string& module,
                          const QuantScheme& scheme, const LayoutInUse& use);
std::vector<std::string> int8_names(const TensorSource& source, const std::string& module);

}  // namespace nibble::bitsandbytes
