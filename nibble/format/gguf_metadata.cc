#include "nibble/format/gguf_metadata.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "nibble/core/byte_reader.h"
#include "nibble/core/error.h"

namespace nibble {
namespace {

struct ValueRow {
  std::string_view name;
  size_t bytes;
};
// In the order of the enumeration.
constexpr ValueRow kValues[] = {{"u8", 1},  {"i8", 1},  {"u16", 2},  {"i16", 2},    {"u32", 4},
                                {"i32", 4}, {"f32", 4}, {"bool", 1}, {"string", 8}, {"array", 12},
                                {"u64", 8}, {"i64", 8}, {"f64", 8}};

bool is_whole(GgufValueType t) {
  return t <= GgufValueType::i32 || t == GgufValueType::u64 || t == GgufValueType::i64;
}
bool is_number(GgufValueType t) {
  return is_whole(t) || t == GgufValueType::f32 || t == GgufValueType::f64;
}

template <class T>
T load_as(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

// A u64 beyond what i64 holds counts as the largest: whoever asks has a limit below that.
int64_t whole_at(GgufValueType type, const std::byte* at) {
  switch (type) {
    case GgufValueType::u8:
    case GgufValueType::boolean:
      return load_as<uint8_t>(at);
    case GgufValueType::i8:
      return load_as<int8_t>(at);
    case GgufValueType::u16:
      return load_as<uint16_t>(at);
    case GgufValueType::i16:
      return load_as<int16_t>(at);
    case GgufValueType::u32:
      return load_as<uint32_t>(at);
    case GgufValueType::i32:
      return load_as<int32_t>(at);
    case GgufValueType::u64:
      return static_cast<int64_t>(std::min<uint64_t>(load_as<uint64_t>(at), INT64_MAX));
    default:
      return load_as<int64_t>(at);
  }
}

double number_at(GgufValueType type, const std::byte* at) {
  if (type == GgufValueType::f32) return load_as<float>(at);
  if (type == GgufValueType::f64) return load_as<double>(at);
  return static_cast<double>(whole_at(type, at));
}

std::string text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::string next_string(ByteReader& in) { return text_of(in.take(in.u64("length"), "string")); }

std::string what_it_is(const GgufValue& v) {
  return v.is_array ? fmt::format("an array of {}", to_string(v.type))
                    : std::string(to_string(v.type));
}

Error other_type(std::string_view key, std::string_view expected, const GgufValue& found) {
  return corrupt(fmt::format("expected {}, found {}", expected, what_it_is(found)))
      .at("key " + in_quotes(key));
}

const GgufValue& of_type(std::string_view key, std::string_view expected, const GgufValue& v,
                         bool array, bool fits) {
  if (v.is_array != array || !fits) throw other_type(key, expected, v);
  return v;
}

}  // namespace

std::string_view to_string(GgufValueType type) { return kValues[static_cast<size_t>(type)].name; }
size_t least_bytes(GgufValueType type) { return kValues[static_cast<size_t>(type)].bytes; }

bool GgufMetadata::add(std::string key, GgufValue value) {
  return values_.emplace(std::move(key), value).second;
}

const GgufValue* GgufMetadata::find(std::string_view key) const {
  const auto found = values_.find(key);
  return found == values_.end() ? nullptr : &found->second;
}

const GgufValue& GgufMetadata::require(std::string_view key) const {
  if (const GgufValue* v = find(key)) return *v;
  throw corrupt("is missing from the file's metadata").at("key " + in_quotes(key));
}

std::string GgufMetadata::string(std::string_view key) const {
  const GgufValue& v = require(key);
  return text_of(of_type(key, "a string", v, false, v.type == GgufValueType::string).bytes);
}

int64_t GgufMetadata::integer(std::string_view key) const {
  const GgufValue& v = of_type(key, "a whole number", require(key), false, true);
  if (!is_whole(v.type)) throw other_type(key, "a whole number", v);
  return whole_at(v.type, v.bytes.data());
}

double GgufMetadata::number(std::string_view key) const {
  const GgufValue& v = of_type(key, "a number", require(key), false, true);
  if (!is_number(v.type)) throw other_type(key, "a number", v);
  const double value = number_at(v.type, v.bytes.data());
  if (std::isfinite(value)) return value;
  throw corrupt(fmt::format("is {}, expected a finite number", value)).at("key " + in_quotes(key));
}

std::optional<std::string> GgufMetadata::string_if(std::string_view key) const {
  return contains(key) ? std::optional(string(key)) : std::nullopt;
}
std::optional<int64_t> GgufMetadata::integer_if(std::string_view key) const {
  return contains(key) ? std::optional(integer(key)) : std::nullopt;
}
std::optional<double> GgufMetadata::number_if(std::string_view key) const {
  return contains(key) ? std::optional(number(key)) : std::nullopt;
}

std::optional<bool> GgufMetadata::boolean_if(std::string_view key) const {
  const GgufValue* v = find(key);
  if (v == nullptr) return std::nullopt;
  of_type(key, "true or false", *v, false, v->type == GgufValueType::boolean);
  return whole_at(v->type, v->bytes.data()) != 0;
}

std::vector<std::string> GgufMetadata::strings(std::string_view key) const {
  std::vector<std::string> out;
  const GgufValue* v = find(key);
  if (v == nullptr) return out;
  of_type(key, "an array of strings", *v, true, v->type == GgufValueType::string);
  ByteReader in(v->bytes);
  out.reserve(static_cast<size_t>(v->count));
  for (uint64_t i = 0; i < v->count; ++i) out.push_back(next_string(in));
  return out;
}

std::vector<int64_t> GgufMetadata::integers(std::string_view key) const {
  std::vector<int64_t> out;
  const GgufValue* v = find(key);
  if (v == nullptr) return out;
  of_type(key, "an array of whole numbers", *v, true,
          is_whole(v->type) || v->type == GgufValueType::boolean);
  const size_t step = least_bytes(v->type);
  for (size_t i = 0; i < v->count; ++i) out.push_back(whole_at(v->type, &v->bytes[i * step]));
  return out;
}

std::vector<float> GgufMetadata::floats(std::string_view key) const {
  std::vector<float> out;
  const GgufValue* v = find(key);
  if (v == nullptr) return out;
  of_type(key, "an array of numbers", *v, true, is_number(v->type));
  const size_t step = least_bytes(v->type);
  for (size_t i = 0; i < v->count; ++i)
    out.push_back(static_cast<float>(number_at(v->type, &v->bytes[i * step])));
  return out;
}

namespace {

std::string item_for_people(GgufValueType type, const std::byte* at) {
  if (type == GgufValueType::boolean) return whole_at(type, at) != 0 ? "true" : "false";
  if (type == GgufValueType::f32) return fmt::to_string(load_as<float>(at));
  return is_whole(type) ? fmt::to_string(whole_at(type, at)) : fmt::to_string(number_at(type, at));
}

}  // namespace

std::string for_people(const GgufValue& value) {
  constexpr uint64_t kShown = 4;
  constexpr size_t kLongest = 60;
  const bool strings = value.type == GgufValueType::string;
  if (!value.is_array) {
    return strings ? in_quotes(text_of(value.bytes), kLongest)
                   : item_for_people(value.type, value.bytes.data());
  }
  std::vector<std::string> items;
  ByteReader in(value.bytes);
  for (uint64_t i = 0; i < std::min(value.count, kShown); ++i) {
    items.push_back(
        strings ? in_quotes(next_string(in), kLongest / 3)
                : item_for_people(value.type,
                                  &value.bytes[static_cast<size_t>(i) * least_bytes(value.type)]));
  }
  return fmt::format("[{}{}] ({})", fmt::join(items, ", "), value.count > kShown ? ", ..." : "",
                     value.count);
}

}  // namespace nibble
