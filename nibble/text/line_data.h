// Text as training data. Line data (names): each line a document. Running text: one long document.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "nibble/text/tokenizer.h"

namespace nibble {

/// Token sequences for training and for measuring. A sequence of n + 1 ids predicts n tokens.
struct SequenceData {
  std::vector<std::vector<int32_t>> train, heldout;
};

/// True for the tokenizers of models that read one line at a time: characters with BOS.
bool reads_lines(const Tokenizer& tokenizer);

/// Lines stripped of white space at both ends, blank ones dropped, as Python's str.strip() does for
/// ASCII.
std::vector<std::string> split_lines(std::string_view text);

/// DESIGN section 8 "Line data": unique lines in first-seen order, CPython's shuffle with `seed`,
/// train = the first floor(0.9 n). Each becomes [BOS] line [BOS], cut to context + 1 ids.
SequenceData line_sequences(std::string_view text, const Tokenizer& tokenizer, int64_t context,
                            uint64_t seed);

/// The held-out lines themselves, in the same order.
std::vector<std::string> heldout_lines(std::string_view text, uint64_t seed);

/// Running text: the first floor(0.9 * characters) is for training, the rest held out, cut into
/// consecutive windows of context + 1 ids that overlap by one id, so that every id but the first is
/// predicted once; the last one may be shorter. For training the windows are drawn at random
/// offsets by the trainer, so `train` holds one sequence.
SequenceData text_sequences(std::string_view text, const Tokenizer& tokenizer, int64_t context);

/// Every line, or every window of running text, in order, nothing dropped or shuffled: what is
/// measured when no held-out part is asked for. Line data where the tokenizer has BOS.
std::vector<std::vector<int32_t>> whole_sequences(std::string_view text, const Tokenizer& tokenizer,
                                                  int64_t context);

/// line_sequences() where reads_lines(tokenizer), else text_sequences().
SequenceData sequences(std::string_view text, const Tokenizer& tokenizer, int64_t context,
                       uint64_t seed);

/// True for text that looks like line data: every line at most `context` characters, and more than
/// one line... of which no line is blank.
bool looks_like_lines(std::string_view text, int64_t context);

}  // namespace nibble
