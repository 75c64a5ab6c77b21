// What generated texts begin with.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "nibble/jobs/generate.h"
#include "nibble/text/chat_template.h"

namespace nibble {

struct Prompt {
  std::string shown;  ///< before what is generated: the prompt; nothing for a chat
  std::string text;   ///< what the model reads, special tokens as their text
  std::vector<int32_t> ids;
};

/// The format of a chat: the one asked for, or the one of the model's template. Null where the
/// prompts are plain text.
const ChatFormat* chat_format_of(const GenerateJob& job, const Model& model);

/// `bos` stands for an empty prompt. Error{invalid_argument} where there is neither.
Prompt encode_prompt(const std::string& text, const GenerateJob& job, const ChatFormat* format,
                     const Tokenizer& tokenizer, std::optional<int32_t> bos);

}  // namespace nibble
