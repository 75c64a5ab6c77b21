// Chat templates: the program in Jinja that comes with a model and writes a conversation as the
// model was trained on it. Every chat goes through one: the model's, or one of nibble's own that is
// asked for by name (chat_formats.h).
#pragma once

#include <cstdint>
#include <ctime>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "nibble/text/conversation.h"
#include "nibble/text/tokenizer.h"

namespace nibble {

struct NamedTemplate {
  std::string name;  ///< "default", "tool_use", ...
  std::string source;
};

/// Those of a model folder: chat_template.jinja, else "chat_template" in tokenizer_config.json
/// (one, or a list of them), else in chat_template.json; and additional_chat_templates/NAME.jinja.
std::vector<NamedTemplate> read_chat_templates(const std::string& folder);
/// The one named "default"; nothing where there is none.
std::optional<std::string> default_template(const std::vector<NamedTemplate>& templates);
/// For a conversation with tools "tool_use" where there is one, else "default". Error{unsupported},
/// in one line, where there is none.
const std::string& choose_template(const std::vector<NamedTemplate>& templates, bool tools);

/// A template with the special tokens of a tokenizer as its variables (bos_token, eos_token, ...).
class ChatTemplate {
 public:
  /// Error{corrupt} naming the line. `now` is what strftime_now() says.
  ChatTemplate(std::string_view source, const Tokenizer& tokenizer, const std::tm& now);

  /// As ChatProgram::render(); a variable of the conversation counts before one of the tokenizer.
  std::vector<TemplateText> render(const Conversation& conversation) const;
  /// What it ends an answer with, beside the ends of the tokenizer, where that is a token of its
  /// own, special or not.
  std::optional<int32_t> answer_end(const Tokenizer& tokenizer) const;

 private:
  ChatProgram program_;
  std::vector<TemplateVariable> tokens_;
  std::tm now_;
};

/// For the tokenizer: special tokens are meant where the template writes them, nowhere else.
std::vector<TextPart> text_parts(const std::vector<TemplateText>& made);
/// All of it as one text.
std::string whole_text(const std::vector<TemplateText>& made);

/// The ids that end an answer: the tokenizer's, and the template's.
std::vector<int32_t> answer_ends(const ChatTemplate& chat, const Tokenizer& tokenizer);

}  // namespace nibble
