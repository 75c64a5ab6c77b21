// Conversations as training data: a JSON object a line,
//   {"messages": [{"role": "system" | "user" | "assistant", "content": "..."}, ...]}
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

#include "nibble/text/chat_template.h"

namespace nibble {

/// A conversation in the model's own words. Ids up to `answer` are read, those from there on (the
/// answer and what ends it) are to be learnt.
struct ChatSequence {
  std::vector<int32_t> ids;
  size_t answer = 0;
};

/// One for each line that is not blank; at most `context` + 1 ids of it. One system text, one
/// question and one answer each. Error{corrupt} naming the line that is anything else;
/// Error{invalid_argument} for a system text where the format has no place for one.
std::vector<ChatSequence> chat_sequences(std::string_view lines, const ChatFormat& format,
                                         const Tokenizer& tokenizer, int64_t context);

}  // namespace nibble
