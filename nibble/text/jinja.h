// Chat templates are programs in Jinja that come with a model. They are run by an interpreter that
// can do nothing but make text: it knows no files, no other templates, nothing of the process; what
// it reads are the variables it is given, which it cannot change. Steps, depth, memory and text are
// bounded. The language is that of Jinja2 as transformers sets it up (docs/chat-templates.md).
#pragma once

#include <cstdint>
#include <ctime>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "nibble/text/json_tree.h"

namespace nibble {

namespace jinja {
struct Program;
}

/// A variable of a template, and whether people wrote it. A role in `messages` that is one word is
/// no text of people: templates make special tokens of it, as '<|' + message.role + '|>'.
struct TemplateVariable {
  std::string name;
  JsonNode value;
  bool people = true;
};

/// A stretch of what a template makes.
struct TemplateText {
  std::string text;
  bool people = false;  ///< from the conversation: special tokens in it stay text
  bool answer = false;  ///< from within {% generation %}: what an assistant is to learn
};

class ChatProgram {
 public:
  /// Error{corrupt} naming the line, also for a template over 256 KiB.
  static ChatProgram parse(std::string_view source);

  /// The text, in stretches that differ. Error{corrupt} naming the line for what goes wrong, for a
  /// template that refuses (its message is part of it) and for one that takes too many steps, goes
  /// too deep, or makes more of the variables than their own size allows. The same of the same.
  std::vector<TemplateText> render(const std::vector<TemplateVariable>& variables,
                                   const std::tm& now) const;

 private:
  explicit ChatProgram(std::shared_ptr<const jinja::Program> program)
      : program_(std::move(program)) {}
  std::shared_ptr<const jinja::Program> program_;
};

}  // namespace nibble
