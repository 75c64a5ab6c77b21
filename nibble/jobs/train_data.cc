#include "nibble/jobs/train_data.h"

#include <fmt/format.h>

#include <algorithm>

#include "nibble/core/error.h"
#include "nibble/core/in_file.h"
#include "nibble/text/chat_data.h"

namespace nibble {
namespace {

using Sequences = std::vector<std::vector<int32_t>>;

// Models are shown the date that templates of Llama 3 have where nobody gives one: the same data
// give the same ids on every day.
constexpr std::string_view kDay = "2024-07-26";

// The ids, those outside of the answers marked as read alone. The first is never predicted.
std::vector<int32_t> answers_learnt(const ChatSequence& s) {
  std::vector<int32_t> out = s.ids;
  for (size_t i = 1; i < out.size(); ++i) {
    const bool learnt = std::any_of(s.answers.begin(), s.answers.end(), [i](const auto& range) {
      return i >= range.first && i < range.second;
    });
    if (!learnt) out[i] = unlearnt(out[i]);
  }
  return out;
}

// Conversations an answer of which begins within the window.
Sequences conversations(const Text& text, const TrainedModel& trained, int64_t window) {
  const Tokenizer& tokenizer = trained.model.require_tokenizer();
  const ChatTemplate chat = naming_file(trained.model.path, [&] {
    const auto templates = trained.model.companions->chat_templates();
    return ChatTemplate(choose_template(templates, false), tokenizer, template_time(kDay));
  });
  Sequences out;
  for (const ChatSequence& s : chat_sequences(text.text, chat, tokenizer, window)) {
    if (!s.answers.empty()) out.push_back(answers_learnt(s));
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
