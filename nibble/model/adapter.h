// LoRA adapters, which lie in folders like models but are changes of one.
#pragma once

#include <string>

#include "nibble/core/tensor_source.h"

namespace nibble {

/// The file of a LoRA adapter in the folder, "" where there is none. Error{unsupported} where the
/// folder holds one and no model.
std::string adapter_beside(const std::string& folder);

/// Error{unsupported} for tensors that are an adapter's.
void refuse_adapter(const TensorSource& tensors);

}  // namespace nibble
