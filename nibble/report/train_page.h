// The page of a training run: its curve, what the held-out text says, the model it came from.
#pragma once

#include <string>

#include "nibble/jobs/train.h"

namespace nibble {

std::string train_html(const TrainJob& job, const TrainSummary& result);

}  // namespace nibble
