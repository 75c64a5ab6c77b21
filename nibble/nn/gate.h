// What a gate does to the outputs beside it.
#pragma once

#include <cstdint>

#include "nibble/nn/linear.h"

namespace nibble {

/// up[i] *= activation(gate[i]) for an `end` that is_gate(); what the gate was is lost.
void apply_gate(LinearEnd end, float* gate, int64_t n, float* up);

}  // namespace nibble
