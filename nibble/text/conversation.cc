#include "nibble/text/conversation.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <ctime>

#include "nibble/core/error.h"
#include "nibble/core/utf8.h"
#include "nibble/text/utf8.h"

namespace nibble {
namespace {

constexpr std::string_view kExpected =
    R"(expected {"messages": [{"role": "user", "content": "..."}, ...]})";

void check_message(const JsonNode& message) {
  if (message.type != JsonNode::Type::object) throw message.wrong("an object: role and content");
  message.string("role");
}

int two_digits(std::string_view text, size_t at) {
  int out = -1;
  std::from_chars(text.data() + at, text.data() + at + 2, out);
  return out;
}

// Jan 1 of which year it is, and so on, from year, month and day.
bool complete_day(std::tm& t) {
  const std::tm given = t;
  const std::time_t seconds = timegm(&t);
  return gmtime_r(&seconds, &t) != nullptr && t.tm_mday == given.tm_mday &&
         t.tm_mon == given.tm_mon && t.tm_year == given.tm_year;
}

}  // namespace

JsonNode json_text_node(std::string text) {
  JsonNode out;
  out.type = JsonNode::Type::string;
  out.text = std::move(text);
  return out;
}

JsonNode json_boolean_node(bool v) {
  JsonNode out;
  out.type = JsonNode::Type::boolean;
  out.integer = v ? 1 : 0;
  return out;
}

Conversation::Conversation() {
  value("messages").type = JsonNode::Type::array;
  // Templates ask whether these are none.
  value("tools");
  value("documents");
  set("add_generation_prompt", json_boolean_node(true));
}

JsonNode& Conversation::value(std::string_view name) {
  const auto found = std::find_if(variables_.begin(), variables_.end(),
                                  [&](const TemplateVariable& v) { return v.name == name; });
  if (found != variables_.end()) return found->value;
  return variables_.emplace_back(TemplateVariable{std::string(name), {}, true}).value;
}

Conversation Conversation::parse(std::string_view json) {
  JsonTreeBuilder builder;
  parse_json(json, builder);
  JsonNode& root = builder.root;
  const bool object = root.type == JsonNode::Type::object;
  if (!object || root.find("messages") == nullptr) throw corrupt(std::string(kExpected));
  for (const JsonNode& message : root.elements("messages")) check_message(message);
  Conversation out;
  for (JsonNode& child : root.children) {
    const std::string name = child.key;
    out.set(name, std::move(child));
  }
  return out;
}

void Conversation::add(std::string_view role, std::string_view content) {
  JsonNode message;
  message.type = JsonNode::Type::object;
  for (const auto& [key, text] : {std::pair("role", role), std::pair("content", content)}) {
    message.children.push_back(json_text_node(repaired_utf8(text)));
    message.children.back().key = key;
  }
  value("messages").children.push_back(std::move(message));
}

void Conversation::set(std::string_view name, JsonNode v) { value(name) = std::move(v); }

const std::vector<JsonNode>& Conversation::messages() const {
  return variables_.front().value.children;
}

Conversation Conversation::beginning(size_t count, bool answer_follows) const {
  Conversation out = *this;
  out.value("messages").children.resize(count);
  out.set("add_generation_prompt", json_boolean_node(answer_follows));
  return out;
}

bool Conversation::has_tools() const {
  return std::any_of(variables_.begin(), variables_.end(), [](const TemplateVariable& v) {
    return v.name == "tools" && !v.value.is_null();
  });
}

TemplateVariable parse_template_arg(std::string_view given) {
  const size_t equals = given.find('=');
  if (equals == std::string_view::npos || equals == 0)
    throw invalid_argument(
        fmt::format("`template_arg` {}: expected NAME=VALUE", in_quotes(given, 60)));
  if (!is_utf8(given))
    throw invalid_argument(fmt::format("`template_arg` {}: not UTF-8", in_quotes(given, 60)));
  TemplateVariable out{std::string(given.substr(0, equals)), {}, true};
  const std::string text(given.substr(equals + 1));
  try {
    JsonTreeBuilder builder;
    parse_json(text, builder);
    out.value = std::move(builder.root);
  } catch (const Error&) {
    out.value = json_text_node(text);
  }
  return out;
}

std::tm template_time(std::string_view day) {
  std::tm out{};
  if (day.empty()) {
    const std::time_t now = std::time(nullptr);
    gmtime_r(&now, &out);
    return out;
  }
  int year = -1;
  const bool shaped = day.size() == 10 && day[4] == '-' && day[7] == '-' &&
                      day.find_first_not_of("0123456789-") == std::string_view::npos;
  if (shaped) std::from_chars(day.data(), day.data() + 4, year);
  out.tm_year = year - 1900;
  out.tm_mon = shaped ? two_digits(day, 5) - 1 : -1;
  out.tm_mday = shaped ? two_digits(day, 8) : -1;
  out.tm_hour = 12;
  if (year < 1 || !complete_day(out))
    throw invalid_argument(
        fmt::format("`template_date` {}: expected a day as 2026-01-15", in_quotes(day, 40)));
  return out;
}

}  // namespace nibble
