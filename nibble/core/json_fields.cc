#include <fmt/format.h>

#include <cmath>
#include <utility>

#include "nibble/core/error.h"
#include "nibble/core/json.h"

namespace nibble {
namespace {

constexpr size_t kMaxText = 1 << 20;
constexpr size_t kMaxValues = 65536;
// Paths repeat their beginnings: without a bound of their own a small text could make them huge.
constexpr size_t kMaxPathBytes = 8 << 20;

std::string at_key(std::string_view path) { return "key " + in_quotes(path); }

}  // namespace

class JsonFieldsBuilder : public JsonHandler {
 public:
  using Value = JsonFields::Value;
  using Type = Value::Type;

  JsonFields fields;

  void on_object_begin() override { open(Type::object); }
  void on_object_end() override { path_.resize(levels_.back().path), levels_.pop_back(); }
  void on_array_begin() override { open(Type::array); }
  void on_array_end() override { on_object_end(); }
  void on_key(std::string_view key) override { key_ = key; }
  void on_string(std::string_view v) override {
    add({.type = Type::string, .text = std::string(v)});
  }
  void on_integer(int64_t v) override {
    add({.type = Type::integer, .integer = v, .number = static_cast<double>(v)});
  }
  void on_number(double v, std::string_view text) override {
    add({.type = Type::number, .number = v, .text = std::string(text)});
  }
  void on_boolean(bool v) override { add({.type = Type::boolean, .integer = v ? 1 : 0}); }
  void on_null() override { add({}); }

 private:
  struct Level {
    Type type;
    size_t path;  // length of the path outside
    int64_t next = 0;
  };

  // The path of the value that comes now.
  std::string next_path() {
    if (levels_.empty()) return path_;
    Level& level = levels_.back();
    const std::string name = level.type == Type::array ? fmt::to_string(level.next++) : key_;
    return levels_.size() == 1 ? name : path_ + '.' + name;
  }

  std::string add(Value value) {
    std::string path = next_path();
    if (levels_.empty()) {
      if (value.type != Type::object) throw corrupt("expected a JSON object at the top");
      return path;
    }
    path_bytes_ += path.size();
    if (fields.order_.size() >= kMaxValues || path_bytes_ > kMaxPathBytes)
      throw corrupt(fmt::format("more than {} values, or their paths too long", kMaxValues));
    if (!fields.values_.emplace(path, std::move(value)).second)
      throw corrupt(fmt::format("two values have the path {}", in_quotes(path)));
    fields.order_.push_back({path, path_.size()});
    return path;
  }

  void open(Type type) {
    std::string path = add({.type = type});
    levels_.push_back({type, path_.size()});
    path_ = std::move(path);
  }

  std::string path_, key_;
  std::vector<Level> levels_;
  size_t path_bytes_ = 0;
};

JsonFields JsonFields::parse(std::string_view text) {
  if (text.size() > kMaxText)
    throw corrupt(fmt::format("a JSON document of {} bytes, limit {}", text.size(), kMaxText));
  JsonFieldsBuilder builder;
  parse_json(text, builder, 0, JsonNumbers::python);
  return std::move(builder.fields);
}

const JsonFields::Value* JsonFields::find(std::string_view path) const {
  asked_.emplace(path);
  const auto found = values_.find(path);
  return found == values_.end() ? nullptr : &found->second;
}

const JsonFields::Value& JsonFields::require(std::string_view path) const {
  const Value* found = find(path);
  if (found == nullptr) throw corrupt("missing, and needed").at(at_key(path));
  return *found;
}

std::string JsonFields::shown(std::string_view path) const {
  using Type = Value::Type;
  const auto found = values_.find(path);
  NIBBLE_CHECK(found != values_.end());
  const Value& v = found->second;
  switch (v.type) {
    case Type::null:
      return "null";
    case Type::boolean:
      return v.integer != 0 ? "true" : "false";
    case Type::integer:
      return fmt::to_string(v.integer);
    case Type::number:
      return printable(v.text, 40);
    case Type::string:
      return "the string " + in_quotes(v.text, 40);
    case Type::object:
      return "an object";
    case Type::array:
      return "an array";
  }
  return {};
}

// "expected an integer, found the string "12""
Error JsonFields::mismatch(std::string_view path, std::string_view expected) const {
  return corrupt(fmt::format("expected {}, found {}", expected, shown(path))).at(at_key(path));
}

bool JsonFields::contains(std::string_view path) const { return find(path) != nullptr; }

bool JsonFields::has_section(std::string_view path) const {
  const Value* v = find(path);
  if (v == nullptr || v->type == Value::Type::null) return false;
  if (v->type == Value::Type::object) return true;
  throw mismatch(path, "an object");
}

bool JsonFields::is_null(std::string_view path) const {
  const Value* v = find(path);
  return v != nullptr && v->type == Value::Type::null;
}

bool JsonFields::is_string(std::string_view path) const {
  const Value* v = find(path);
  return v != nullptr && v->type == Value::Type::string;
}

int64_t JsonFields::integer(std::string_view path) const {
  const Value& v = require(path);
  if (v.type != Value::Type::integer) throw mismatch(path, "an integer");
  return v.integer;
}

double JsonFields::number(std::string_view path) const {
  const Value& v = require(path);
  if (v.type != Value::Type::integer && v.type != Value::Type::number)
    throw mismatch(path, "a number");
  if (!std::isfinite(v.number)) throw mismatch(path, "a finite number");
  return v.number;
}

bool JsonFields::boolean(std::string_view path) const {
  const Value& v = require(path);
  if (v.type != Value::Type::boolean) throw mismatch(path, "true or false");
  return v.integer != 0;
}

std::string JsonFields::string(std::string_view path) const {
  const Value& v = require(path);
  if (v.type != Value::Type::string) throw mismatch(path, "a string");
  return v.text;
}

bool JsonFields::absent(std::string_view path) const {
  return find(path) == nullptr || is_null(path);
}

int64_t JsonFields::integer_or(std::string_view path, int64_t otherwise) const {
  return absent(path) ? otherwise : integer(path);
}
double JsonFields::number_or(std::string_view path, double otherwise) const {
  return absent(path) ? otherwise : number(path);
}
bool JsonFields::boolean_or(std::string_view path, bool otherwise) const {
  return absent(path) ? otherwise : boolean(path);
}
std::string JsonFields::string_or(std::string_view path, std::string otherwise) const {
  return absent(path) ? std::move(otherwise) : string(path);
}

int64_t JsonFields::array_size(std::string_view path) const {
  if (absent(path)) return 0;
  const Value& v = require(path);
  if (v.type != Value::Type::array) throw mismatch(path, "an array");
  int64_t n = 0;
  while (find(fmt::format("{}.{}", path, n)) != nullptr) ++n;
  return n;
}

std::vector<std::string> JsonFields::strings(std::string_view path) const {
  std::vector<std::string> out;
  const int64_t n = array_size(path);
  for (int64_t i = 0; i < n; ++i) out.push_back(string(fmt::format("{}.{}", path, i)));
  return out;
}

std::vector<int64_t> JsonFields::integers(std::string_view path) const {
  std::vector<int64_t> out;
  const int64_t n = array_size(path);
  for (int64_t i = 0; i < n; ++i) out.push_back(integer(fmt::format("{}.{}", path, i)));
  return out;
}

std::vector<double> JsonFields::numbers(std::string_view path) const {
  std::vector<double> out;
  const int64_t n = array_size(path);
  for (int64_t i = 0; i < n; ++i) out.push_back(number(fmt::format("{}.{}", path, i)));
  return out;
}

std::vector<std::string> JsonFields::keys(std::string_view path) const {
  std::vector<std::string> out;
  for (const Place& place : order_) {
    if (place.parent != path.size() || !std::string_view(place.path).starts_with(path)) continue;
    out.push_back(place.path.substr(path.empty() ? 0 : path.size() + 1));
  }
  return out;
}

// Whether the path or anything under it was asked for.
bool JsonFields::asked(std::string_view path) const {
  if (asked_.contains(path)) return true;
  const std::string below = std::string(path) + '.';
  const auto next = asked_.lower_bound(below);
  return next != asked_.end() && next->starts_with(below);
}

std::vector<std::string> JsonFields::unread() const {
  std::vector<std::string> out;
  for (const Place& place : order_) {
    const std::string_view outside = std::string_view(place.path).substr(0, place.parent);
    // What stands under an unread path follows it at once.
    const bool inside = !out.empty() && !outside.empty() &&
                        (outside == out.back() || outside.starts_with(out.back() + '.'));
    if (!inside && !asked(place.path)) out.push_back(place.path);
  }
  return out;
}

}  // namespace nibble
