// What a gate does to the outputs beside it.
#pragma once

#include <cstdint>

#include "nibble/nn/linear.h"

namespace nibble {

/// Of LinearEnd::clamped_gate (OpenAI 2025, gpt-oss): slope of the sigmoid, and where both halves
/// are cut.
inline constexpr float kClampedSlope = 1.702f, kClampedLimit = 7.0f;

/// up[i] *= activation(gate[i]) for an `end` that is_gate(); what the gate was is lost.
void apply_gate(LinearEnd end, float* gate, int64_t n, float* up);

}  // namespace nibble
