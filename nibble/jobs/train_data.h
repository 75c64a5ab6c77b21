// The sequences that a job trains and is measured on.
#pragma once

#include "nibble/jobs/train_model.h"
#include "nibble/text/line_data.h"

namespace nibble {

/// The job's text, cut for the model: the last tenth is held out where no other text is. Lines
/// where the tokenizer reads lines.
SequenceData data_to_train(const TrainJob& job, const TrainedModel& trained);

}  // namespace nibble
