#include "nibble/jobs/prompt.h"

#include "nibble/core/error.h"
#include "nibble/core/in_file.h"

namespace nibble {

const ChatFormat* chat_format_of(const GenerateJob& job, const Model& model) {
  if (!job.chat) {
    if (!job.system.empty() || !job.chat_format.empty())
      throw invalid_argument("`system` and `chat_format` belong to `chat`");
    return nullptr;
  }
  if (!job.chat_format.empty()) return &chat_format(job.chat_format);
  return naming_file(model.path, [&] {
    const bool alone = model.companions == nullptr;
    return &require_chat_format(alone ? std::nullopt : model.companions->chat_template());
  });
}

Prompt encode_prompt(const std::string& text, const GenerateJob& job, const ChatFormat* format,
                     const Tokenizer& tokenizer, std::optional<int32_t> bos) {
  Prompt out{text, text, {}};
  if (format == nullptr) {
    out.ids = tokenizer.encode(text, true);
  } else {
    const auto system = job.system.empty() ? std::nullopt : std::optional(job.system);
    const auto parts = chat_prompt(*format, tokenizer, system, text, chat_day());
    out.ids = tokenizer.encode_parts(parts);
    out.shown = out.text = "";
    for (const TextPart& part : parts) out.text += part.text;
  }
  if (out.ids.empty() && bos) out.ids.push_back(*bos);
  if (out.ids.empty()) {
    throw invalid_argument(
        "the prompt is empty, and neither the tokenizer nor config.json or generation_config.json "
        "names a token that texts begin with: give at least one character");
  }
  return out;
}

}  // namespace nibble
