// The sequences that a job trains and is measured on.
#pragma once

#include "nibble/jobs/train_model.h"
#include "nibble/text/line_data.h"

namespace nibble {

/// Whether a text is conversations (text/chat_data.h): NAME.jsonl.
bool is_chat_data(const Text& text);

/// The job's text, cut for the model: the last tenth is held out where no other text is. Lines
/// where the tokenizer reads lines; of conversations the answers alone are learnt.
SequenceData data_to_train(const TrainJob& job, const TrainedModel& trained);

}  // namespace nibble
