// What generated texts begin with.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "nibble/jobs/chat.h"
#include "nibble/jobs/generate.h"

namespace nibble {

struct Prompt {
  std::string shown;  ///< before what is generated: the prompt; nothing for a chat
  std::string text;   ///< what the model reads, special tokens as their text
  std::vector<int32_t> ids;
};

/// The chat that the job asks for; nothing where the prompts are plain text.
std::optional<Chat> chat_of(const GenerateJob& job, const Model& model);

/// A conversation that has begun with the job's system text, if it has one.
Conversation begun_conversation(const GenerateJob& job);

/// A conversation as the model reads it.
Prompt encode_conversation(const Conversation& conversation, const Chat& chat,
                           const Tokenizer& tokenizer);

/// `chat` may be null. `bos` stands for an empty prompt; Error{invalid_argument} where there is
/// neither.
Prompt encode_prompt(const std::string& text, const GenerateJob& job, const Chat* chat,
                     const Tokenizer& tokenizer, std::optional<int32_t> bos);

}  // namespace nibble
