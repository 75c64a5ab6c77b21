// The chat of a model: its template, and what the caller says of it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "nibble/model/companions.h"
#include "nibble/text/chat_template.h"

namespace nibble {

struct ChatChoice {
  std::string format;             ///< `chat_format`; empty: the model's own template
  std::vector<std::string> args;  ///< `template_arg`: NAME=VALUE, variables of the template
  std::string date;               ///< `template_date`: "2026-01-15" for the template; empty: now
  bool empty() const { return format.empty() && args.empty() && date.empty(); }
};

class Chat {
 public:
  /// Error{invalid_argument} for what the caller says; Error{unsupported} where there is no
  /// template, Error{corrupt} where it is none, both naming `path`. `companions` may be null. With
  /// `tools` the template that a model has for those.
  Chat(const ChatChoice& choice, const Companions* companions, const Tokenizer& tokenizer,
       std::string path, bool tools = false);

  /// A conversation as the template writes it, with the caller's variables. Error{corrupt} naming
  /// the path and the line.
  std::vector<TemplateText> made(Conversation conversation) const;
  std::vector<int32_t> ends(const Tokenizer& tokenizer) const;

 private:
  std::vector<TemplateVariable> args_;
  std::string path_;
  ChatTemplate template_;
};

}  // namespace nibble
