// The metadata of a GGUF file: typed values by key, read where they lie.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace nibble {

enum class GgufValueType : uint32_t {
  u8,
  i8,
  u16,
  i16,
  u32,
  i32,
  f32,
  boolean,
  string,
  array,
  u64,
  i64,
  f64
};
std::string_view to_string(GgufValueType type);
/// Bytes of a value, or the least of one: a string's length.
size_t least_bytes(GgufValueType type);

/// A value, or `count` of them where is_array, as the file holds them; checked when it was read.
struct GgufValue {
  GgufValueType type = GgufValueType::u8;  ///< of the items of an array
  bool is_array = false;
  uint64_t count = 1;
  std::span<const std::byte> bytes;  ///< the file's
};

/// Asking for a value of another type than the file has is Error{corrupt}, naming the key; asking
/// for one that is absent Error{corrupt} as well.
class GgufMetadata {
 public:
  /// False where the key is there already.
  bool add(std::string key, GgufValue value);
  bool contains(std::string_view key) const { return find(key) != nullptr; }
  const GgufValue* find(std::string_view key) const;
  /// In the order of keys.
  const std::map<std::string, GgufValue, std::less<>>& list() const { return values_; }

  std::string string(std::string_view key) const;
  std::optional<std::string> string_if(std::string_view key) const;
  /// Of any whole-number type.
  int64_t integer(std::string_view key) const;
  std::optional<int64_t> integer_if(std::string_view key) const;
  /// Of any number type, finite.
  double number(std::string_view key) const;
  std::optional<double> number_if(std::string_view key) const;
  std::optional<bool> boolean_if(std::string_view key) const;
  /// Arrays; empty where the key is absent.
  std::vector<std::string> strings(std::string_view key) const;
  std::vector<int64_t> integers(std::string_view key) const;
  std::vector<float> floats(std::string_view key) const;

 private:
  const GgufValue& require(std::string_view key) const;
  std::map<std::string, GgufValue, std::less<>> values_;
};

/// A value for people: strings in quotes and cut, of arrays the first few items and their number.
std::string for_people(const GgufValue& value);

}  // namespace nibble
