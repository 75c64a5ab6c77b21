// JsonTree: a small part of a JSON document with its structure, bounded; for the sections of a
// tokenizer file whose keys JsonFields' paths cannot tell apart.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "nibble/core/json.h"

namespace nibble {

/// A value. Every function that finds something else than it asks for throws Error{corrupt} naming
/// the path of the key.
struct JsonNode {
  enum class Type { null, boolean, integer, number, string, object, array } type = Type::null;
  std::string key, path;  ///< its key, and the keys from the top: "decoder.decoders.0.type"
  std::string text;       ///< of a string; of a number as it stands in the file
  int64_t integer = 0;    ///< of an integer or a boolean
  std::vector<JsonNode> children;

  bool is_null() const { return type == Type::null; }
  /// The member of that name that is not null; nullptr where there is none.
  const JsonNode* find(std::string_view name) const;
  const JsonNode& at(std::string_view name) const;
  std::string string(std::string_view name) const;
  int64_t integer_at(std::string_view name) const;
  std::string string_or(std::string_view name, std::string otherwise) const;
  bool boolean_or(std::string_view name, bool otherwise) const;
  /// The elements of an array.
  const std::vector<JsonNode>& elements(std::string_view name) const;
  /// Error{unsupported} naming the first member that is none of `known`: nothing is ignored.
  void only(std::initializer_list<std::string_view> known) const;
  /// An error with this node as its place.
  Error wrong(std::string_view expected) const;
  Error not_supported(std::string_view what) const;
};

/// Builds the tree from the events. At most 262,144 values and 16 MiB of text.
class JsonTreeBuilder : public JsonHandler {
 public:
  JsonNode root;

  void on_object_begin() override { open(JsonNode::Type::object); }
  void on_object_end() override { levels_.pop_back(); }
  void on_array_begin() override { open(JsonNode::Type::array); }
  void on_array_end() override { levels_.pop_back(); }
  void on_key(std::string_view key) override { key_ = key; }
  void on_string(std::string_view v) override { add(JsonNode::Type::string).text = v; }
  void on_integer(int64_t v) override { add(JsonNode::Type::integer).integer = v; }
  void on_number(double, std::string_view text) override {
    add(JsonNode::Type::number).text = text;
  }
  void on_boolean(bool v) override { add(JsonNode::Type::boolean).integer = v ? 1 : 0; }
  void on_null() override { add(JsonNode::Type::null); }

 private:
  JsonNode& add(JsonNode::Type type);
  void open(JsonNode::Type type);

  std::string key_;
  std::vector<size_t> levels_;  // the index of each open node among its siblings
  size_t values_ = 0, bytes_ = 0;
};

}  // namespace nibble
