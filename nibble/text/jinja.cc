#include "nibble/text/jinja.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "nibble/core/error.h"
#include "nibble/text/jinja_parser.h"
#include "nibble/text/jinja_run.h"
#include "nibble/text/utf8.h"

namespace nibble {
namespace jinja {
namespace {

constexpr size_t kLongestTemplate = 256 << 10;
constexpr int64_t kSteps = 4'000'000, kBytes = int64_t{24} << 20;
constexpr int64_t kStepsOfByte = 8, kBytesOfByte = 24;

int64_t size_of(const JsonNode& node) {
  int64_t out = static_cast<int64_t>(node.key.size() + node.text.size()) + 16;
  for (const JsonNode& child : node.children) out += size_of(child);
  return out;
}

bool is_single_word(std::string_view text) {
  return text.size() < 32 && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                  c == '_' || c == '-';
         });
}

Value number_value(const JsonNode& node) {
  double v = 0;
  const std::string_view text = node.text;
  if (text.find_first_of(".eE") == std::string_view::npos)
    throw corrupt("a whole number beyond 64 bits").at("key " + in_quotes(node.path));
  const auto read = std::from_chars(text.data(), text.data() + text.size(), v);
  if (read.ec != std::errc()) throw node.wrong("a number that a double holds");
  return of_real(v);
}

Value value_of(Meter& meter, const JsonNode& node, Origin origin);

Value dict_value(Meter& meter, const JsonNode& node, Origin origin) {
  Entries out(meter);
  for (const JsonNode& child : node.children)
    out.append(of_text(meter, child.key, origin), value_of(meter, child, origin));
  return out.dict();
}

Value value_of(Meter& meter, const JsonNode& node, Origin origin) {
  switch (node.type) {
    case JsonNode::Type::null:
      return none();
    case JsonNode::Type::boolean:
      return of_boolean(node.integer != 0);
    case JsonNode::Type::integer:
      return of_integer(node.integer);
    case JsonNode::Type::number:
      return number_value(node);
    case JsonNode::Type::string:
      return of_text(meter, node.text, origin);
    case JsonNode::Type::object:
      return dict_value(meter, node, origin);
    case JsonNode::Type::array:
      break;
  }
  Items out(meter);
  for (const JsonNode& child : node.children) out.add(value_of(meter, child, origin));
  return out.list();
}

// All of it people wrote, but for a role that is one word.
Value message_value(Meter& meter, const JsonNode& message) {
  if (message.type != JsonNode::Type::object) return value_of(meter, message, kPeople);
  Entries out(meter);
  for (const JsonNode& child : message.children) {
    const bool role =
        child.key == "role" && child.type == JsonNode::Type::string && is_single_word(child.text);
    out.append(of_text(meter, child.key, kPeople),
               value_of(meter, child, role ? Origin{0} : kPeople));
  }
  return out.dict();
}

Value variable_value(Meter& meter, const TemplateVariable& variable) {
  const bool messages = variable.name == "messages" && variable.value.type == JsonNode::Type::array;
  if (!messages) return value_of(meter, variable.value, variable.people ? kPeople : Origin{0});
  Items out(meter);
  for (const JsonNode& message : variable.value.children) out.add(message_value(meter, message));
  return out.list();
}

void add_stretch(std::vector<TemplateText>& out, std::string_view text, Origin origin) {
  if (text.empty()) return;
  out.push_back({std::string(text), (origin & kPeople) != 0, (origin & kAnswer) != 0});
}

std::vector<TemplateText> stretches_of(const Text& text) {
  std::vector<TemplateText> out;
  const std::string_view all = text.bytes;
  size_t done = 0;
  for (const OriginSpan& s : text.spans) {
    add_stretch(out, all.substr(done, s.begin - done), 0);
    add_stretch(out, all.substr(s.begin, s.end - s.begin), s.origin);
    done = s.end;
  }
  add_stretch(out, all.substr(done), 0);
  return out;
}

}  // namespace
}  // namespace jinja

ChatProgram ChatProgram::parse(std::string_view source) {
  if (source.size() > jinja::kLongestTemplate)
    throw corrupt(fmt::format("a chat template of {} bytes: at most {} are run", source.size(),
                              jinja::kLongestTemplate));
  return ChatProgram(std::make_shared<jinja::Program>(jinja::parse_program(repaired_utf8(source))));
}

std::vector<TemplateText> ChatProgram::render(const std::vector<TemplateVariable>& variables,
                                              const std::tm& now) const {
  int64_t size = 0;
  for (const TemplateVariable& v : variables) size += jinja::size_of(v.value);
  jinja::Meter meter(jinja::kSteps + size * jinja::kStepsOfByte,
                     jinja::kBytes + size * jinja::kBytesOfByte);
  jinja::Run run(*program_, meter, now);
  for (const TemplateVariable& v : variables) run.set(v.name, jinja::variable_value(meter, v));
  return jinja::stretches_of(jinja::text_of(run.text()));
}

}  // namespace nibble
