// What a chat template is given: the messages, and whatever else it has a variable for.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "nibble/text/jinja.h"

namespace nibble {

JsonNode json_text_node(std::string text);
JsonNode json_boolean_node(bool v);

/// Its variables; "messages" is always among them.
class Conversation {
 public:
  /// No messages; an answer is to follow (add_generation_prompt).
  Conversation();
  /// {"messages": [{"role": ..., "content": ...}, ...], "tools": [...], ...}: every key is a
  /// variable. Error{corrupt} for anything else, and where a message has no role.
  static Conversation parse(std::string_view json);

  void add(std::string_view role, std::string_view content);
  /// A variable of people's, in place of one of that name.
  void set(std::string_view name, JsonNode value);
  const std::vector<JsonNode>& messages() const;
  /// The first `count` messages, with an answer to follow or not.
  Conversation beginning(size_t count, bool answer_follows) const;
  bool has_tools() const;
  const std::vector<TemplateVariable>& variables() const { return variables_; }

 private:
  JsonNode& value(std::string_view name);
  std::vector<TemplateVariable> variables_;
};

/// NAME=VALUE of `template_arg`: VALUE is JSON, or else a text. Error{invalid_argument} where it is
/// neither named nor given.
TemplateVariable parse_template_arg(std::string_view given);

/// Noon of a day as "2026-01-15"; where it is empty, now (UTC). Error{invalid_argument} naming
/// `template_date` for what is no day.
std::tm template_time(std::string_view day);

}  // namespace nibble
