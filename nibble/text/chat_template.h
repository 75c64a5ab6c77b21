// Chat templates: what stands around the turns of a conversation. A model's template is a program
// in Jinja; it is recognised by its text as one of the common formats, which are data here, or
// refused. It is never executed.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "nibble/text/tokenizer.h"

namespace nibble {

/// In the patterns {bos}, {eos}, {text}, {system} and {date} stand for what they say; {text:trim}
/// and {text:rtrim} take white space off both ends or the right one.
struct ChatFormat {
  std::string_view name;    ///< "chatml", "llama-3", ...
  std::string_view begin;   ///< of every prompt
  std::string_view system;  ///< the system turn; empty where there is none of its own
  /// One user turn and the beginning of the answer.
  std::string_view turn;
  std::string_view merged = {};      ///< such a turn with the system text in it
  std::string_view answer_end = {};  ///< ends the answer, beside EOS, as a token of its own
  std::optional<std::string_view> default_system = {};  ///< where the caller gives none
};

/// The format of a template; nullptr where it is none that is known, changed or longer than 64 KiB.
const ChatFormat* recognise_chat_template(std::string_view text);
/// The format of that name; Error{invalid_argument} lists them.
const ChatFormat& chat_format(std::string_view name);
std::vector<std::string_view> chat_format_names();

/// The text of a model folder's template: chat_template.jinja, else "chat_template" in
/// tokenizer_config.json (of several the one named "default"). Nothing where there is none.
std::optional<std::string> read_chat_template(const std::string& folder);
/// The format of a model's template. Error{unsupported}, in one line, where there is none,
/// Error{corrupt} for an unknown one.
const ChatFormat& require_chat_format(const std::optional<std::string>& text);

/// The prompt in parts: what the format writes, where special tokens are meant, and what people
/// wrote, where none are. Error{invalid_argument} for a system text where the format has no place
/// for one. `day` is what {date} becomes ("26 Jul 2024").
std::vector<TextPart> chat_prompt(const ChatFormat& format, const Tokenizer& tokenizer,
                                  const std::optional<std::string>& system, std::string_view user,
                                  std::string_view day);

/// Today as {date} has it, UTC.
std::string chat_day();

/// The ids that end an answer: the tokenizer's and the format's own where that is one token,
/// special or not.
std::vector<int32_t> answer_ends(const ChatFormat& format, const Tokenizer& tokenizer);

}  // namespace nibble
