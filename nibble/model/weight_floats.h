// A weight as plain numbers, whatever its stored type.
#pragma once

#include <vector>

#include "nibble/nn/linear.h"

namespace nibble {

/// As f32, [n * k], dequantized where it is stored quantized.
std::vector<float> floats_of(const Weight& weight);

}  // namespace nibble
