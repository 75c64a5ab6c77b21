#include "nibble/jobs/train_data.h"

#include <algorithm>

namespace nibble {

SequenceData data_to_train(const TrainJob& job, const TrainedModel& trained) {
  const TrainOptions& o = trained.options;
  const Tokenizer& tokenizer = trained.model.require_tokenizer();
  const int64_t window = o.window > 0 ? o.window : o.config.context;
  if (!job.heldout) return sequences(job.text.text, tokenizer, window, job.data_seed);
  SequenceData data;
  data.train = reads_lines(tokenizer)
                   ? whole_sequences(job.text.text, tokenizer, window)
                   : std::vector<std::vector<int32_t>>{tokenizer.encode(job.text.text, false)};
  data.heldout = whole_sequences(job.heldout->text, tokenizer, window);
  std::erase_if(data.heldout, [](const auto& ids) { return ids.size() < 2; });
  return data;
}

}  // namespace nibble
