// What weights that a runtime joins into one have in common.
#pragma once

#include "nibble/model/model.h"

namespace nibble {

/// The largest magnitude among a weight and those that vLLM and others join with it: q, k and v;
/// gate and up. Types with SuperScale::tensor have one for all of these, chosen from it. Reads each
/// of them.
float joint_magnitude(const Model& model, const ParamSpec& spec);

}  // namespace nibble
