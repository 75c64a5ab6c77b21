// Texts of a chat template's program, whose bytes remember where they come from, and what Python
// does with them by characters.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "nibble/text/jinja_value.h"

namespace nibble::jinja {

/// Puts a text together, counting its bytes as they come.
class TextBuilder {
 public:
  explicit TextBuilder(Meter& meter) : charge_(meter) {}
  void add(std::string_view bytes, Origin origin = 0);
  /// Bytes `begin` to `end` of another text.
  void add(const Text& text, size_t begin, size_t end);
  void add(const Text& text) { add(text, 0, text.bytes.size()); }
  /// All of it is of that origin as well.
  void cover(Origin origin);
  size_t size() const { return bytes_.size(); }
  Value finish(bool markup = false) {
    return of_text(std::move(charge_), std::move(bytes_), std::move(spans_), markup);
  }

 private:
  void mark(size_t begin, size_t end, Origin origin);
  Charge charge_;
  std::string bytes_;
  std::vector<OriginSpan> spans_;
};

/// Every origin that any of its bytes has.
Origin origin_of(const Text& text);
Value part_of(Meter& meter, const Text& text, size_t begin, size_t end);
/// The byte that character `index`, 0 to its length, begins at.
size_t offset_of(Meter& meter, const Text& text, int64_t index);
/// Its characters, each a text.
std::vector<Value> characters_of(Meter& meter, const Text& text);

/// What str.isspace() says.
bool is_white(char32_t c);
/// The length of the white space at the beginning of a text, and where that at its end begins.
size_t white_prefix(std::string_view text);
size_t white_suffix(std::string_view text);

/// Each character by `change`, which appends what becomes of it.
Value changed_text(Meter& meter, const Text& text,
                   const std::function<void(char32_t, std::string&)>& change);
Value lowered(Meter& meter, const Text& text);
Value raised(Meter& meter, const Text& text);
/// HTML's five characters as entities; a text that is markup stays as it is.
Value escaped(Meter& meter, const Value& text);

/// A value as {{ }} prints it, str(), and as it stands in a list, repr().
Value shown(Meter& meter, const Value& v);
Value represented(Meter& meter, const Value& v);
/// "1.0", "1e-05": the shortest that reads back the same.
std::string shown_real(double v);

struct JsonStyle {
  bool ascii = false, sorted = false;
  std::optional<std::string> indent;
  std::string item = ", ", key = ": ";
};
/// Python's json.dumps(). Error{corrupt} for what JSON cannot say.
Value json_text(Meter& meter, const Value& v, const JsonStyle& style);

}  // namespace nibble::jinja
