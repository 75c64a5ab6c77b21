// AdamOptions over the steps of a run.
#pragma once

#include <cstdint>

#include "nibble/kernels/train.h"
#include "nibble/train/adam_options.h"

namespace nibble {

/// Throws Error{invalid_argument} naming the option that no run of so many steps can have.
void validate(const AdamOptions& options, int64_t steps);

/// What the kernel needs in a step, 0 for the first: the learning rate rises linearly over the
/// warmup, then falls as the schedule says to final_fraction of its peak at `steps`.
TrainAdam<float> adam_of_step(const AdamOptions& options, int64_t step, int64_t steps);

}  // namespace nibble
