#include "nibble/text/json_tree.h"

#include <fmt/format.h>

#include <algorithm>

#include "nibble/core/error.h"

namespace nibble {
namespace {

constexpr size_t kMaxValues = 1 << 18;
constexpr size_t kMaxBytes = 16 << 20;

std::string place(std::string_view path) { return "key " + in_quotes(path); }

}  // namespace

Error JsonNode::wrong(std::string_view expected) const {
  constexpr std::string_view kNames[] = {"null",     "a boolean", "an integer", "a number",
                                         "a string", "an object", "an array"};
  return corrupt(fmt::format("expected {}, found {}{}", expected, kNames[static_cast<size_t>(type)],
                             type == Type::string ? ' ' + in_quotes(text, 40) : ""))
      .at(place(path));
}

Error JsonNode::not_supported(std::string_view what) const {
  return unsupported(fmt::format("{} is not supported", what)).at(place(path));
}

const JsonNode* JsonNode::find(std::string_view name) const {
  if (type != Type::object) throw wrong("an object");
  const auto found = std::find_if(children.begin(), children.end(),
                                  [&](const JsonNode& child) { return child.key == name; });
  return found == children.end() || found->is_null() ? nullptr : &*found;
}

const JsonNode& JsonNode::at(std::string_view name) const {
  const JsonNode* found = find(name);
  if (found == nullptr) {
    throw corrupt("missing, and needed")
        .at(place(path.empty() ? std::string(name) : fmt::format("{}.{}", path, name)));
  }
  return *found;
}

std::string JsonNode::string(std::string_view name) const {
  const JsonNode& node = at(name);
  if (node.type != Type::string) throw node.wrong("a string");
  return node.text;
}

int64_t JsonNode::integer_at(std::string_view name) const {
  const JsonNode& node = at(name);
  if (node.type != Type::integer) throw node.wrong("an integer");
  return node.integer;
}

std::string JsonNode::string_or(std::string_view name, std::string otherwise) const {
  return find(name) == nullptr ? std::move(otherwise) : string(name);
}

bool JsonNode::boolean_or(std::string_view name, bool otherwise) const {
  const JsonNode* node = find(name);
  if (node == nullptr) return otherwise;
  if (node->type != Type::boolean) throw node->wrong("true or false");
  return node->integer != 0;
}

const std::vector<JsonNode>& JsonNode::elements(std::string_view name) const {
  const JsonNode& node = at(name);
  if (node.type != Type::array) throw node.wrong("an array");
  return node.children;
}

void JsonNode::only(std::initializer_list<std::string_view> known) const {
  for (const JsonNode& child : children) {
    if (child.is_null() || std::find(known.begin(), known.end(), child.key) != known.end())
      continue;
    throw child.not_supported("this setting");
  }
}

JsonNode& JsonTreeBuilder::add(JsonNode::Type type) {
  JsonNode* at = &root;
  if (values_ > 0) {
    for (size_t i = 1; i < levels_.size(); ++i) at = &at->children[levels_[i]];
    const bool array = at->type == JsonNode::Type::array;
    std::string key = array ? fmt::to_string(at->children.size()) : std::move(key_);
    std::string path = at->path.empty() ? key : at->path + '.' + key;
    at = &at->children.emplace_back();
    at->key = std::move(key), at->path = std::move(path);
  }
  at->type = type;
  bytes_ += at->key.size() + at->path.size();
  if (++values_ > kMaxValues || bytes_ > kMaxBytes) {
    throw corrupt(fmt::format("more than {} settings, or their paths too long", kMaxValues));
  }
  return *at;
}

void JsonTreeBuilder::open(JsonNode::Type type) {
  add(type);
  const JsonNode* parent = &root;
  for (size_t i = 1; i < levels_.size(); ++i) parent = &parent->children[levels_[i]];
  levels_.push_back(levels_.empty() ? 0 : parent->children.size() - 1);
}

}  // namespace nibble
