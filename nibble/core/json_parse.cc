#include <fmt/format.h>

#include <bit>
#include <charconv>
#include <cstring>
#include <limits>
#include <optional>
#include <vector>

#include "nibble/core/error.h"
#include "nibble/core/json.h"
#include "nibble/core/json_number.h"
#include "nibble/core/key_set.h"
#include "nibble/core/utf8.h"

namespace nibble {
namespace {

constexpr size_t kMaxDepth = 64;
// Bounds what is held of one string.
constexpr ptrdiff_t kMaxToken = 16 << 20;

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// The bytes of an eight-byte word that end a run of plain string characters: quotes, backslashes,
// control characters, anything not ASCII. Each sets its top bit (Mycroft's test for small bytes).
uint64_t special_bytes(uint64_t word) {
  constexpr uint64_t kOnes = 0x0101010101010101u, kTops = 0x8080808080808080u;
  const auto below = [](uint64_t w, uint64_t limit) { return (w - kOnes * limit) & ~w; };
  const uint64_t quote = below(word ^ kOnes * '"', 1), backslash = below(word ^ kOnes * '\\', 1);
  return (below(word, 0x20) | quote | backslash | word) & kTops;
}

class Parser {
 public:
  Parser(std::string_view text, JsonHandler& handler, int64_t base_offset, JsonNumbers numbers)
      : begin_(text.data()),
        now_(begin_),
        end_(begin_ + text.size()),
        handler_(handler),
        base_(base_offset),
        numbers_(numbers) {}

  void run() {
    refuse_nul();
    skip_blanks();
    if (now_ == end_) fail(begin_ == end_ ? "the text is empty" : "it holds no value", now_);
    do {
      value();
      after_value();
    } while (!levels_.empty());
    skip_blanks();
    if (now_ != end_) unexpected("the end of the text");
  }

 private:
  enum class Level : char { array, object };

  std::string at(const char* place) const {
    return fmt::format("offset {}", base_ + (place - begin_));
  }
  [[noreturn]] void fail(std::string_view reason, const char* place) const {
    throw corrupt(fmt::format("not valid JSON: {}", reason)).at(at(place));
  }
  [[noreturn]] void unexpected(std::string_view expected) const {
    if (now_ == end_) fail(fmt::format("expected {}, found the end", expected), now_);
    const size_t length = utf8_length({now_, static_cast<size_t>(end_ - now_)}, 0);
    if (length == 0) fail("invalid UTF-8", now_);
    fail(fmt::format("expected {}, found {}", expected, in_quotes({now_, length})), now_);
  }

  void refuse_nul() const {
    const auto size = static_cast<size_t>(end_ - begin_);
    const void* nul = size == 0 ? nullptr : std::memchr(begin_, 0, size);
    if (nul != nullptr) fail("a NUL byte", static_cast<const char*>(nul));
  }

  void skip_blanks() {
    while (now_ != end_ && (*now_ == ' ' || *now_ == '\n' || *now_ == '\r' || *now_ == '\t')) {
      ++now_;
    }
  }

  // A handler that throws without naming a place gets the offset as its place.
  template <class F>
  void tell(F&& event) {
    try {
      event();
    } catch (Error& e) {
      throw std::move(e).at(at(now_));
    }
  }

  void value() {
    if (now_ == end_) unexpected("a value");
    switch (*now_) {
      case '{':
        return open(Level::object);
      case '[':
        return open(Level::array);
      case '"': {
        const std::string_view text = string();
        return tell([&] { handler_.on_string(text); });
      }
      case 't':
        word("true");
        return tell([&] { handler_.on_boolean(true); });
      case 'f':
        word("false");
        return tell([&] { handler_.on_boolean(false); });
      case 'n':
        word("null");
        return tell([&] { handler_.on_null(); });
      default:
        return number();
    }
  }

  // Behind a value: closes what ends there and stands before the next value, if there is one.
  void after_value() {
    if (opened_) {
      opened_ = false;
      return first_of_level();
    }
    while (!levels_.empty()) {
      skip_blanks();
      const bool object = levels_.back() == Level::object;
      if (now_ != end_ && *now_ == ',') {
        ++now_;
        skip_blanks();
        if (object) key();
        return;
      }
      if (now_ == end_ || *now_ != (object ? '}' : ']')) {
        unexpected(object ? "',' or '}'" : "',' or ']'");
      }
      close();
    }
  }

  void first_of_level() {
    skip_blanks();
    const bool object = levels_.back() == Level::object;
    if (now_ != end_ && *now_ == (object ? '}' : ']')) {
      close();
      after_value();  // once: opened_ is false
    } else if (object) {
      key();
    }
  }

  void open(Level level) {
    if (levels_.size() == kMaxDepth) {
      throw corrupt(fmt::format("JSON nested deeper than {} levels", kMaxDepth)).at(at(now_));
    }
    levels_.push_back(level);
    if (keys_.size() < levels_.size()) keys_.emplace_back();
    ++now_;
    opened_ = true;
    tell([&] {
      if (level == Level::object) {
        handler_.on_object_begin();
      } else {
        handler_.on_array_begin();
      }
    });
  }

  void close() {
    const Level level = levels_.back();
    levels_.pop_back();
    ++now_;
    if (level == Level::object) keys_[levels_.size()].clear();
    tell([&] {
      if (level == Level::object) {
        handler_.on_object_end();
      } else {
        handler_.on_array_end();
      }
    });
  }

  void key() {
    if (now_ == end_ || *now_ != '"') unexpected("a key in quotes");
    const char* start = now_;
    const std::string_view name = string();
    if (!keys_[levels_.size() - 1].insert(name)) {
      throw corrupt(fmt::format("duplicate key {}", in_quotes(name))).at(at(start));
    }
    tell([&] { handler_.on_key(name); });
    skip_blanks();
    if (now_ == end_ || *now_ != ':') unexpected("':'");
    ++now_;
    skip_blanks();
  }

  void word(std::string_view expected) {
    for (const char c : expected) {
      if (now_ == end_ || *now_ != c) unexpected(fmt::format("\"{}\"", expected));
      ++now_;
    }
  }

  void check_length(const char* start) const {
    if (now_ - start <= kMaxToken) return;
    throw corrupt(
        fmt::format("a string or number of the JSON text is longer than {} bytes", kMaxToken))
        .at(at(start));
  }

  // Moves on to the next quote, backslash or control character.
  void skip_plain() {
    while (true) {
      if (end_ - now_ >= 8) {
        uint64_t bytes;
        std::memcpy(&bytes, now_, 8);
        const uint64_t special = special_bytes(bytes);
        now_ += special == 0 ? 8 : std::countr_zero(special) / 8;
        if (special == 0) continue;
      }
      if (now_ == end_) return;
      const auto c = static_cast<unsigned char>(*now_);
      if (c < 0x20 || c == '"' || c == '\\') return;
      now_ += c < 0x80 ? 1 : sequence_length(c);
    }
  }

  size_t sequence_length(unsigned char lead) const {
    const auto tail = [&](ptrdiff_t i) { return (static_cast<unsigned char>(now_[i]) >> 6) == 2; };
    if (lead >= 0xC2 && lead <= 0xDF && end_ - now_ >= 2 && tail(1)) return 2;
    if (lead >= 0xE1 && lead <= 0xEC && end_ - now_ >= 3 && tail(1) && tail(2)) return 3;
    const size_t length = utf8_length({now_, static_cast<size_t>(end_ - now_)}, 0);
    if (length == 0) fail("invalid UTF-8", now_);
    return length;
  }

  // The string that starts at the quote; in place where it holds no escapes.
  std::string_view string() {
    const char* start = now_++;
    const char* plain = now_;
    skip_plain();
    if (now_ != end_ && *now_ == '"') {
      check_length(start);
      return {plain, static_cast<size_t>(now_++ - plain)};
    }
    scratch_.clear();
    while (true) {
      scratch_.append(plain, now_);
      check_length(start);
      if (now_ == end_) fail("a string without its closing quote", now_);
      if (*now_ == '"') break;
      if (*now_ != '\\') fail("a control character in a string must be escaped", now_);
      ++now_;
      escape();
      plain = now_;
      skip_plain();
    }
    ++now_;
    return scratch_;
  }

  void escape() {
    constexpr std::string_view kLetters = "\"\\/bfnrt", kMeanings = "\"\\/\b\f\n\r\t";
    if (now_ == end_) unexpected("an escape");
    if (const size_t i = kLetters.find(*now_); i != std::string_view::npos) {
      scratch_ += kMeanings[i];
      ++now_;
    } else if (*now_ == 'u') {
      unicode_escape();
    } else {
      unexpected("an escape");
    }
  }

  uint32_t four_digits() {
    uint32_t value = 0;
    ++now_;  // the u
    for (int i = 0; i < 4; ++i, ++now_) {
      const char c = now_ == end_ ? ' ' : *now_;
      const auto lower = static_cast<char>(c | 0x20);
      if (!is_digit(c) && (lower < 'a' || lower > 'f')) unexpected("four hexadecimal digits");
      value = value * 16 + static_cast<uint32_t>(is_digit(c) ? c - '0' : lower - 'a' + 10);
    }
    return value;
  }

  void unicode_escape() {
    const char* start = now_ - 1;
    uint32_t c = four_digits();
    if (c >= 0xDC00 && c <= 0xDFFF) fail("a lone surrogate in an escape", start);
    if (c >= 0xD800 && c <= 0xDBFF) {
      if (end_ - now_ < 2 || now_[0] != '\\' || now_[1] != 'u') {
        fail("a lone surrogate in an escape", start);
      }
      ++now_;
      const uint32_t low = four_digits();
      if (low < 0xDC00 || low > 0xDFFF) fail("a lone surrogate in an escape", start);
      c = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
    }
    const auto put = [&](uint32_t byte) { scratch_ += static_cast<char>(byte); };
    if (c < 0x80) return put(c);
    if (c < 0x800) return put(0xC0 | c >> 6), put(0x80 | (c & 0x3F));
    if (c < 0x10000) {
      put(0xE0 | c >> 12);
    } else {
      put(0xF0 | c >> 18), put(0x80 | (c >> 12 & 0x3F));
    }
    put(0x80 | (c >> 6 & 0x3F)), put(0x80 | (c & 0x3F));
  }

  void digits() {
    if (now_ == end_ || !is_digit(*now_)) unexpected("a digit");
    while (now_ != end_ && is_digit(*now_)) ++now_;
  }

  // Takes one of Python's words; false where none stands here.
  bool python_number() {
    const std::string_view word = python_number_word({now_, static_cast<size_t>(end_ - now_)});
    if (word.empty()) return false;
    now_ += word.size();
    tell([&] { handler_.on_number(json_number(word).value(), word); });
    return true;
  }

  void number() {
    if (numbers_ == JsonNumbers::python && python_number()) return;
    const char* start = now_;
    if (*now_ == '-') {
      ++now_;
    } else if (!is_digit(*now_)) {
      unexpected("a value");
    }
    if (now_ != end_ && *now_ == '0') {
      ++now_;
    } else {
      digits();
    }
    bool whole = true;
    if (now_ != end_ && *now_ == '.') {
      whole = false;
      ++now_;
      digits();
    }
    if (now_ != end_ && (*now_ == 'e' || *now_ == 'E')) {
      whole = false;
      ++now_;
      if (now_ != end_ && (*now_ == '+' || *now_ == '-')) ++now_;
      digits();
    }
    check_length(start);
    const std::string_view text(start, static_cast<size_t>(now_ - start));
    if (whole && integer(text)) return;
    const std::optional<double> value = json_number(text);
    if (!value) fail(fmt::format("number out of range {}", printable(text, 40)), start);
    tell([&] { handler_.on_number(*value, text); });
  }

  bool integer(std::string_view text) {
    const char* last = text.data() + text.size();
    if (text[0] == '-') {
      int64_t value = 0;
      if (std::from_chars(text.data(), last, value).ec != std::errc()) return false;
      tell([&] { handler_.on_integer(value); });
    } else {
      uint64_t value = 0;
      if (std::from_chars(text.data(), last, value).ec != std::errc()) return false;
      tell([&] { handler_.on_unsigned(value); });
    }
    return true;
  }

  const char* begin_;
  const char* now_;
  const char* end_;
  JsonHandler& handler_;
  int64_t base_;  // where in its file the text begins
  JsonNumbers numbers_;
  std::vector<Level> levels_;
  std::vector<KeySet> keys_;  // one a level, kept for reuse
  std::string scratch_;       // the string at hand, where it had escapes
  bool opened_ = false;       // the last value opened a level
};

}  // namespace

void JsonHandler::on_unsigned(uint64_t value) {
  if (value <= static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
    on_integer(static_cast<int64_t>(value));
  } else {
    on_number(static_cast<double>(value), fmt::to_string(value));
  }
}

void parse_json(std::string_view text, JsonHandler& handler, int64_t base_offset,
                JsonNumbers numbers) {
  Parser(text, handler, base_offset, numbers).run();
}

}  // namespace nibble
