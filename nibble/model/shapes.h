// Models of a published shape with random weights, made when they are asked for: enough to measure
// speed and memory.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "nibble/model/model.h"

namespace nibble {

/// "gpt2-124m", "llama-1b", "qwen2-0.5b", "stories260k".
std::vector<std::string_view> shape_names();

/// A model of that shape whose tensors are f32, uniform with deviation 0.02 (gains 1), the same for
/// the same seed. No weight exists before it is read. Error{invalid_argument} lists the names.
Model random_model(std::string_view shape, uint64_t seed);

}  // namespace nibble
