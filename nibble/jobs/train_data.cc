#include "nibble/jobs/train_data.h"

#include <fmt/format.h>

#include <algorithm>

#include "nibble/core/error.h"
#include "nibble/text/chat_data.h"

namespace nibble {
namespace {

using Sequences = std::vector<std::vector<int32_t>>;

// Conversations whose answer begins within the window.
Sequences conversations(const Text& text, const TrainedModel& trained, int64_t window) {
  const ChatFormat& format = require_chat_format(trained.model.companions->chat_template());
  Sequences out;
  for (ChatSequence& s :
       chat_sequences(text.text, format, trained.model.require_tokenizer(), window)) {
    if (s.answer >= s.ids.size()) continue;
    for (size_t i = 1; i < s.answer; ++i) s.ids[i] = unlearnt(s.ids[i]);
    out.push_back(std::move(s.ids));
  }
  return out;
}

SequenceData chat_data(const TrainJob& job, const TrainedModel& trained, int64_t window) {
  SequenceData data{conversations(job.text, trained, window), {}};
  if (data.train.empty())
    throw corrupt(
        fmt::format("no conversation has its answer within {} tokens (`window`)", window));
  if (job.heldout) {
    data.heldout = conversations(*job.heldout, trained, window);
    return data;
  }
  const auto border = data.train.end() - std::ssize(data.train) / 10;
  data.heldout.assign(std::make_move_iterator(border), std::make_move_iterator(data.train.end()));
  data.train.erase(border, data.train.end());
  return data;
}

}  // namespace

bool is_chat_data(const Text& text) { return text.name.ends_with(".jsonl"); }

SequenceData data_to_train(const TrainJob& job, const TrainedModel& trained) {
  const TrainOptions& o = trained.options;
  const int64_t window = o.window > 0 ? o.window : o.config.context;
  if (is_chat_data(job.text)) return chat_data(job, trained, window);
  const Tokenizer& tokenizer = trained.model.require_tokenizer();
  if (!job.heldout) return sequences(job.text.text, tokenizer, window, job.data_seed);
  SequenceData data;
  data.train = reads_lines(tokenizer) ? whole_sequences(job.text.text, tokenizer, window)
                                      : Sequences{tokenizer.encode(job.text.text, false)};
  data.heldout = whole_sequences(job.heldout->text, tokenizer, window);
  std::erase_if(data.heldout, [](const auto& ids) { return ids.size() < 2; });
  return data;
}

}  // namespace nibble
