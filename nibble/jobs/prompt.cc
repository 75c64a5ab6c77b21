#include "nibble/jobs/prompt.h"

#include "nibble/core/error.h"

namespace nibble {

std::optional<Chat> chat_of(const GenerateJob& job, const Model& model) {
  if (job.chat)
    return Chat(job.template_choice, model.companions.get(), model.require_tokenizer(), model.path);
  if (!job.system.empty() || !job.template_choice.empty())
    throw invalid_argument(
        "`system`, `chat_format`, `template_arg` and `template_date` belong to `chat`");
  return std::nullopt;
}

Conversation begun_conversation(const GenerateJob& job) {
  Conversation out;
  if (!job.system.empty()) out.add("system", job.system);
  return out;
}

Prompt encode_conversation(const Conversation& conversation, const Chat& chat,
                           const Tokenizer& tokenizer) {
  const std::vector<TemplateText> made = chat.made(conversation);
  return {"", whole_text(made), tokenizer.encode_parts(text_parts(made))};
}

Prompt encode_prompt(const std::string& text, const GenerateJob& job, const Chat* chat,
                     const Tokenizer& tokenizer, std::optional<int32_t> bos) {
  Prompt out{text, text, {}};
  if (chat == nullptr) {
    out.ids = tokenizer.encode(text, true);
  } else {
    Conversation conversation = begun_conversation(job);
    conversation.add("user", text);
    out = encode_conversation(conversation, *chat, tokenizer);
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
