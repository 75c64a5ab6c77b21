// The heads of a delta layer (Yang et al. 2024, Gated DeltaNet; Qwen3-Next).
#pragma once

#include <cstdint>

#include "nibble/model/layer_plan.h"

namespace nibble {

/// Floats that LayerPass needs for one head of one token.
constexpr int64_t delta_scratch_floats(const DeltaPlan& plan) {
  return 3 * plan.shape.key_dim + 2 * plan.shape.value_dim;
}

}  // namespace nibble
