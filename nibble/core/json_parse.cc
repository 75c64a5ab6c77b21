#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <limits>
#include <nlohmann/json.hpp>
#include <vector>

#include "nibble/core/error.h"
#include "nibble/core/json.h"
#include "nibble/core/key_set.h"
#include "nibble/core/utf8.h"

namespace nibble {
namespace {

using Library = nlohmann::json;

constexpr size_t kMaxDepth = 64;
// Bounds what the lexer holds of one string.
constexpr ptrdiff_t kMaxToken = 16 << 20;

// How far the lexer has come. Events move `watch` on; a lexer that passes it is inside a token that
// is too long, or in blanks.
struct Cursor {
  const char* begin;
  size_t size;
  const char* now;
  const char* event;
  const char* watch;
  int64_t base;  // where in its file the text begins

  Cursor(std::string_view text, int64_t base_offset)
      : begin(text.data()), size(text.size()), now(begin), event(begin), base(base_offset) {
    mark();
  }
  std::string at(const char* place) const {
    return fmt::format("offset {}", base + (place - begin));
  }
  void mark() {
    event = now;
    const auto left = static_cast<ptrdiff_t>(size) - (now - begin);
    watch = left > kMaxToken ? now + kMaxToken : nullptr;
  }
  void passed() {
    const std::string_view run(event, static_cast<size_t>(now - event));
    if (run.find_first_not_of(" \t\r\n,:") != std::string_view::npos) {
      throw corrupt(
          fmt::format("a string or number of the JSON text is longer than {} bytes", kMaxToken))
          .at(at(event));
    }
    mark();
  }
};

// The bytes of the text as the library reads them; they report where it is.
class CountingIterator {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  CountingIterator(const char* p, Cursor* cursor) : p_(p), cursor_(cursor) {}
  reference operator*() const { return *p_; }
  CountingIterator& operator++() {
    cursor_->now = ++p_;
    if (p_ == cursor_->watch) cursor_->passed();
    return *this;
  }
  bool operator==(const CountingIterator& other) const { return p_ == other.p_; }
  bool operator!=(const CountingIterator& other) const { return p_ != other.p_; }

 private:
  const char* p_;
  Cursor* cursor_;
};

// The opening quote of the string that ends at `end` (behind its closing quote).
const char* string_start(const char* begin, const char* end) {
  const auto escaped = [begin](const char* quote) {
    const char* p = quote;
    while (p > begin && p[-1] == '\\') --p;
    return (quote - p) % 2 != 0;
  };
  const char* p = end - 2;
  while (p > begin && (*p != '"' || escaped(p))) --p;
  return p;
}

// "... syntax error while parsing value - unexpected end of input; ..." without the library's name.
std::string reason_of(const Library::exception& error) {
  std::string_view text = error.what();
  const size_t colon = text.find(": ");
  if (text.starts_with("[json.exception.parse_error") && colon != std::string_view::npos) {
    text.remove_prefix(colon + 2);
  } else if (text.starts_with('[')) {
    text.remove_prefix(std::min(text.size(), text.find("] ") + 2));
  }
  return "not valid JSON: " + printable(text, 240);
}

// Between the library's events and the handler's: depth, duplicates, places of errors.
class Bridge : public nlohmann::json_sax<Library> {
 public:
  Bridge(JsonHandler& handler, Cursor& cursor) : handler_(handler), cursor_(cursor) {}

  bool null() override {
    return tell([&] { handler_.on_null(); });
  }
  bool boolean(bool v) override {
    return tell([&] { handler_.on_boolean(v); });
  }
  bool number_integer(int64_t v) override {
    return tell([&] { handler_.on_integer(v); });
  }
  bool number_unsigned(uint64_t v) override {
    return tell([&] { handler_.on_unsigned(v); });
  }
  bool number_float(double v, const std::string& text) override {
    return tell([&] { handler_.on_number(v, text); });
  }
  bool string(std::string& v) override {
    return tell([&] { handler_.on_string(v); });
  }
  bool binary(Library::binary_t&) override { return false; }
  bool start_object(size_t) override {
    deeper();
    if (keys_.size() < depth_) keys_.emplace_back();
    keys_[depth_ - 1].clear();
    return tell([&] { handler_.on_object_begin(); });
  }
  bool key(std::string& v) override {
    if (!keys_[depth_ - 1].insert(v)) {
      throw corrupt(fmt::format("duplicate key {}", nibble::in_quotes(v)))
          .at(cursor_.at(string_start(cursor_.begin, cursor_.now)));
    }
    return tell([&] { handler_.on_key(v); });
  }
  bool end_object() override {
    keys_[--depth_].clear();
    return tell([&] { handler_.on_object_end(); });
  }
  bool start_array(size_t) override {
    deeper();
    if (keys_.size() < depth_) keys_.emplace_back();
    return tell([&] { handler_.on_array_begin(); });
  }
  bool end_array() override {
    --depth_;
    return tell([&] { handler_.on_array_end(); });
  }
  bool parse_error(size_t position, const std::string&, const Library::exception& e) override {
    const size_t offset = std::min(position == 0 ? 0 : position - 1, cursor_.size);
    const std::string_view rest(cursor_.begin + offset, cursor_.size - offset);
    const bool utf8 = rest.empty() || utf8_length(rest, 0) != 0;
    throw corrupt(utf8 ? reason_of(e) : "not valid JSON: invalid UTF-8")
        .at(cursor_.at(cursor_.begin + offset));
  }

 private:
  void deeper() {
    if (++depth_ > kMaxDepth)
      throw corrupt(fmt::format("JSON nested deeper than {} levels", kMaxDepth))
          .at(cursor_.at(cursor_.now - 1));
  }
  // A handler that throws without naming a place gets the offset as its place.
  template <class F>
  bool tell(F&& event) {
    cursor_.mark();
    try {
      event();
    } catch (Error& e) {
      throw std::move(e).at(cursor_.at(cursor_.now));
    }
    return true;
  }

  JsonHandler& handler_;
  Cursor& cursor_;
  size_t depth_ = 0;
  std::vector<KeySet> keys_;
};

}  // namespace

void JsonHandler::on_unsigned(uint64_t value) {
  if (value <= static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
    on_integer(static_cast<int64_t>(value));
  } else {
    on_number(static_cast<double>(value), fmt::to_string(value));
  }
}

void parse_json(std::string_view text, JsonHandler& handler, int64_t base_offset) {
  Cursor cursor(text, base_offset);
  // The library takes a NUL for the end of its input; to JSON it is an illegal byte anywhere.
  if (const size_t nul = text.find('\0'); nul != std::string_view::npos)
    throw corrupt("not valid JSON: a NUL byte").at(cursor.at(text.data() + nul));
  if (text.empty()) throw corrupt("not valid JSON: the text is empty").at(cursor.at(text.data()));
  Bridge bridge(handler, cursor);
  const CountingIterator first(text.data(), &cursor), last(text.data() + text.size(), &cursor);
  NIBBLE_CHECK(Library::sax_parse(first, last, &bridge, Library::input_format_t::json, true));
}

}  // namespace nibble
