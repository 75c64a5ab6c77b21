// The one door for JSON: events in (SAX), a writer out. No JSON library shows through this header.
//
// Reading refuses what a careful reader must: invalid UTF-8, lone surrogates, depth over 64,
// duplicate keys, strings over 16 MiB, anything behind the document. Errors carry the byte offset.
// Nothing is built from a hostile file except what a handler keeps and 32 bytes for each key of the
// objects that are open.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "nibble/core/error.h"

namespace nibble {

/// What parse_json() tells of a document. Any of these may throw Error to stop.
class JsonHandler {
 public:
  virtual ~JsonHandler() = default;
  virtual void on_object_begin() {}
  virtual void on_object_end() {}
  virtual void on_array_begin() {}
  virtual void on_array_end() {}
  virtual void on_key(std::string_view /*key*/) {}
  virtual void on_string(std::string_view /*value*/) {}
  /// A number written without fraction or exponent that fits in 64 bits, signed or unsigned.
  virtual void on_integer(int64_t /*value*/) {}
  /// The same without a minus sign: on_integer() by default, on_number() where only unsigned holds.
  virtual void on_unsigned(uint64_t value);
  /// Any other number; `text` is how it stands in the file ("1e3", "1.0").
  virtual void on_number(double /*value*/, std::string_view /*text*/) {}
  virtual void on_boolean(bool /*value*/) {}
  virtual void on_null() {}
};

/// Which numbers a text may hold: JSON's, or Python's as well, whose json module writes NaN,
/// Infinity and -Infinity (transformers does so in config.json).
enum class JsonNumbers { finite, python };

/// Parses the whole of `text`; throws Error{corrupt} with the byte offset where it is not one JSON
/// document. An Error that a handler throws without a place gets the offset as its place.
/// `base_offset` is where in its file the text begins.
void parse_json(std::string_view text, JsonHandler& handler, int64_t base_offset = 0,
                JsonNumbers numbers = JsonNumbers::finite);

/// The scalars of a small document (config.json, nibble.json) by path: "rope_scaling.factor",
/// "ids.0". A flat table, bounded to 1 MiB of text, 65,536 values and 8 MiB of paths. Callers name
/// the file in errors (Error::set_file). It remembers which paths were asked for (unread()), so
/// that one table must not be read by several threads at once.
class JsonFields {
 public:
  /// Numbers may be Python's: number() refuses those that are not finite, by key.
  static JsonFields parse(std::string_view text);

  /// True where the path is present at all, whatever its type, null included.
  bool contains(std::string_view path) const;
  /// True for an object, false where the path is absent or null. Error{corrupt} naming the key for
  /// anything else.
  bool has_section(std::string_view path) const;
  bool is_string(std::string_view path) const;
  bool is_null(std::string_view path) const;
  /// Each throws Error{corrupt} naming the key where it is absent or of another type. number()
  /// takes integers as well, and throws where the value is NaN or infinite.
  int64_t integer(std::string_view path) const;
  double number(std::string_view path) const;
  bool boolean(std::string_view path) const;
  std::string string(std::string_view path) const;
  /// The same with a default where the key is absent or null.
  int64_t integer_or(std::string_view path, int64_t otherwise) const;
  double number_or(std::string_view path, double otherwise) const;
  bool boolean_or(std::string_view path, bool otherwise) const;
  std::string string_or(std::string_view path, std::string otherwise) const;
  /// The elements of an array of strings, of integers or of finite numbers; empty where the path is
  /// absent.
  std::vector<std::string> strings(std::string_view path) const;
  std::vector<int64_t> integers(std::string_view path) const;
  std::vector<double> numbers(std::string_view path) const;
  /// The keys directly under a path, in file order.
  std::vector<std::string> keys(std::string_view path) const;
  /// The outermost paths that no call above has asked for, nor for anything under them, in file
  /// order. keys() asks for nothing.
  std::vector<std::string> unread() const;
  /// A value as errors show it: "12", "the string "x"", "an object". The path must be there.
  std::string shown(std::string_view path) const;

 private:
  friend class JsonFieldsBuilder;
  struct Value {
    enum class Type { null, boolean, integer, number, string, object, array } type = Type::null;
    int64_t integer = 0;
    double number = 0;
    std::string text = {};
  };
  const Value* find(std::string_view path) const;
  const Value& require(std::string_view path) const;
  bool absent(std::string_view path) const;
  int64_t array_size(std::string_view path) const;
  Error mismatch(std::string_view path, std::string_view expected) const;
  bool asked(std::string_view path) const;

  struct Place {
    std::string path;
    size_t parent;  // length of the path of the object or array around it
  };
  std::map<std::string, Value, std::less<>> values_;
  std::vector<Place> order_;
  mutable std::set<std::string, std::less<>> asked_;
};

/// `text` as a JSON string, its quotes included; bytes that are not UTF-8 become U+FFFD.
std::string json_quoted(std::string_view text);

/// Writes one JSON document: two-space indentation, scalars of an array on one line, shortest
/// numbers that read back the same (a whole double keeps its ".0"), "C" locale always. NaN and
/// infinities, which JSON cannot say, become null.
class JsonWriter {
 public:
  JsonWriter();
  JsonWriter& begin_object();
  JsonWriter& end_object();
  JsonWriter& begin_array();
  JsonWriter& end_array();
  JsonWriter& key(std::string_view name);
  JsonWriter& value(std::string_view text);
  JsonWriter& value(const char* text) { return value(std::string_view(text)); }
  JsonWriter& value(const std::string& text) { return value(std::string_view(text)); }
  JsonWriter& value(double number);
  JsonWriter& value(int64_t number);
  JsonWriter& value(uint64_t number);
  JsonWriter& value(int number) { return value(static_cast<int64_t>(number)); }
  JsonWriter& value(bool boolean);
  JsonWriter& null();
  /// A number as it stands in another document (JsonHandler::on_number's text).
  JsonWriter& number_text(std::string_view text);
  template <class T>
  JsonWriter& field(std::string_view name, const T& v) {
    key(name);
    return value(v);
  }
  /// An array of scalars on one line.
  template <class T>
  JsonWriter& array(std::string_view name, const std::vector<T>& values) {
    key(name).begin_array();
    for (const T& v : values) value(v);
    return end_array();
  }
  /// The finished document, a newline at its end. Every begin must have its end (checked).
  std::string finish();

 private:
  void separate(bool container);
  void newline();
  JsonWriter& open(char bracket);
  JsonWriter& close(char bracket);
  JsonWriter& scalar(std::string_view text);
  struct Level {
    bool array;
    bool empty = true;
    bool broken = false;  // onto lines of its own
  };
  std::string out_;
  std::vector<Level> levels_;
  bool after_key_ = false;
};

}  // namespace nibble
