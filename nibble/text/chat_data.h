// Conversations as training data: a JSON object a line,
//   {"messages": [{"role": "system" | "user" | "assistant" | ..., "content": "..."}, ...]}
// with whatever else the model's template has a variable for ("tools", "enable_thinking").
#pragma once

#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "nibble/text/chat_template.h"

namespace nibble {

/// A conversation in the model's own words. Of its ids those of the answers, and what ends each,
/// are to be learnt; the others are read.
struct ChatSequence {
  std::vector<int32_t> ids;
  std::vector<std::pair<size_t, size_t>> answers;  ///< begin and end of each, in order
};

/// At most `context` + 1 ids of each line that is not blank. What an answer is a template says with
/// {% generation %}; of one that does not, an answer is what it writes more with it than without.
/// Where a template writes a conversation in another way as it goes on (the thinking of earlier
/// answers left out), each answer becomes a sequence of its own, as the model will see it. Error
/// {corrupt} naming the line that is no conversation, that does not end with an answer, or that the
/// template refuses.
std::vector<ChatSequence> chat_sequences(std::string_view lines, const ChatTemplate& chat,
                                         const Tokenizer& tokenizer, int64_t context);

}  // namespace nibble
