// A run of the trainer with all that happens between its steps: looks at the held-out part, early
// stopping, checkpoints, the log.
#pragma once

#include <string>

#include "nibble/jobs/train.h"

namespace nibble {

/// Runs to the end, or to where early stopping ends it: then the trainer has the weights of the
/// best look. Returns whether that was so.
bool run_training(const TrainJob& job, Trainer& trainer, const TrainOptions& options,
                  const std::vector<std::vector<int32_t>>& heldout, const Exec& exec);

/// Tells of a step.
void report_training(const TrainStep& step, const Exec& exec);

/// OUT.resume
std::string checkpoint_path(const TrainJob& job);

}  // namespace nibble
