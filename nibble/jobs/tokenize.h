// A text, or a conversation, as its model sees it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "nibble/jobs/chat.h"
#include "nibble/jobs/text.h"

namespace nibble {

struct TokenizeResult {
  std::string kind;  ///< of the tokenizer
  std::vector<int32_t> ids;
  std::vector<std::string> tokens;  ///< the text of each
  std::optional<std::string> text;  ///< of a conversation: what the template makes of it
};

/// `model`: as resolve_model() takes it, or a tokenizer's file. `special`: with the tokens that the
/// model expects around a text.
TokenizeResult tokenize(const std::string& model, std::string_view text, bool special = true);

/// A conversation as JSON (text/conversation.h), put into the model's chat template. Nothing is
/// added around it: a BOS is the template's to write. Errors name the model or the conversation.
TokenizeResult tokenize_chat(const std::string& model, const Text& conversation,
                             const ChatChoice& choice);

}  // namespace nibble
