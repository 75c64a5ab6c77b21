#include "nibble/text/jinja_lexer.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>

#include "nibble/text/jinja_meter.h"
#include "nibble/text/jinja_text.h"
#include "nibble/text/utf8.h"

namespace nibble::jinja {
namespace {

// Every kind of line end as \n, and the last one taken off.
std::string one_kind_of_lines(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] != '\r') {
      out += source[i];
      continue;
    }
    out += '\n';
    if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
  }
  if (out.ends_with('\n')) out.pop_back();
  return out;
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool in_name(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
         static_cast<unsigned char>(c) >= 0x80;
}

// The text of a literal, its escapes resolved as Python does.
class Unescaper {
 public:
  explicit Unescaper(std::string_view in) : in_(in) {}

  std::string run() {
    while (at_ < in_.size()) {
      if (in_[at_] != '\\') {
        out_ += in_[at_++];
        continue;
      }
      ++at_;
      escape();
    }
    return std::move(out_);
  }

 private:
  void escape() {
    if (at_ == in_.size()) throw failure("a string ends in \\");
    constexpr std::string_view kNames = "\\'\"abfnrtv", kValues = "\\'\"\a\b\f\n\r\t\v";
    const char c = in_[at_++];
    if (const size_t named = kNames.find(c); named != std::string_view::npos) {
      out_ += kValues[named];
    } else if (c == 'x' || c == 'u' || c == 'U') {
      code(c == 'x' ? 2 : c == 'u' ? 4 : 8, 16);
    } else if (c >= '0' && c <= '7') {
      --at_;
      size_t n = 1;
      while (n < 3 && at_ + n < in_.size() && in_[at_ + n] >= '0' && in_[at_ + n] <= '7') ++n;
      code(n, 8);
    } else if (c == 'N') {
      throw failure("\\N{...} in a string is not supported");
    } else if (c != '\n') {
      out_ += '\\';
      out_ += c;
    }
  }

  void code(size_t digits, int base) {
    const std::string_view text = in_.substr(at_, digits);
    uint32_t value = 0;
    const auto read = std::from_chars(text.data(), text.data() + text.size(), value, base);
    const bool whole =
        text.size() == digits && read.ec == std::errc() && read.ptr == text.data() + text.size();
    if (!whole || value > 0x10FFFF || (value >= 0xD800 && value < 0xE000))
      throw failure("a string has an escape that is no character");
    append_utf8(out_, static_cast<char32_t>(value));
    at_ += digits;
  }

  std::string_view in_;
  size_t at_ = 0;
  std::string out_;
};

class Lexer {
 public:
  explicit Lexer(std::string_view source) : all_(one_kind_of_lines(source)) {}

  std::vector<Token> run() {
    try {
      while (at_ < all_.size()) data();
      add(Token::Type::end, "");
      return std::move(out_);
    } catch (Error& e) {
      throw std::move(e).at(line_place(line_));
    }
  }

 private:
  std::string_view rest() const { return std::string_view(all_).substr(at_); }
  bool follows(std::string_view what) const { return rest().starts_with(what); }

  void skip(size_t n) {
    line_ += static_cast<int>(std::count(all_.begin() + static_cast<ptrdiff_t>(at_),
                                         all_.begin() + static_cast<ptrdiff_t>(at_ + n), '\n'));
    at_ += n;
    if (n > 0) line_begins_ = all_[at_ - 1] == '\n';
  }
  void skip_white() { skip(white_prefix(rest())); }

  void add(Token::Type type, std::string text) {
    Token& t = out_.emplace_back();
    t.type = type;
    t.text = std::move(text);
    t.line = line_;
  }

  size_t find_tag() const {
    for (size_t i = at_; (i = all_.find('{', i)) != std::string::npos; ++i) {
      if (i + 1 < all_.size() && std::string_view("{%#").find(all_[i + 1]) != std::string::npos)
        return i;
    }
    return all_.size();
  }

  // Data up to the next tag, and the tag.
  void data() {
    const size_t tag = find_tag();
    std::string_view text = std::string_view(all_).substr(at_, tag - at_);
    const char kind = tag < all_.size() ? all_[tag + 1] : ' ';
    char sign = tag + 2 < all_.size() ? all_[tag + 2] : ' ';
    if (sign != '-' && sign != '+') sign = ' ';
    if (tag < all_.size()) text = stripped(text, kind, sign);
    if (!text.empty()) add(Token::Type::data, std::string(text));
    skip(tag - at_);
    if (kind == ' ') return;
    skip(sign == ' ' ? 2 : 3);
    if (kind == '#') return comment();
    if (kind == '%' && raw()) return;
    add(kind == '{' ? Token::Type::print_begin : Token::Type::block_begin, "");
    words(kind);
  }

  // What is left of the text in front of a tag.
  std::string_view stripped(std::string_view text, char kind, char sign) const {
    if (sign == '-') return text.substr(0, white_suffix(text));
    if (sign == '+' || kind == '{') return text;
    const size_t line = text.rfind('\n') + 1;
    if (line == 0 && !line_begins_) return text;
    const std::string_view last = text.substr(line);
    return white_prefix(last) == last.size() ? text.substr(0, line) : text;
  }

  // Behind the end of a block or a comment.
  void finish_tag(size_t mark) {
    const bool strip = all_[at_] == '-';
    skip(mark);
    if (strip) {
      skip_white();
    } else if (all_[at_ - 3] != '+' && follows("\n")) {
      skip(1);
    }
  }

  void comment() {
    const size_t end = all_.find("#}", at_);
    if (end == std::string::npos) throw failure("missing end of comment tag");
    const bool signs = end > at_ && (all_[end - 1] == '-' || all_[end - 1] == '+');
    skip(end - at_ - (signs ? 1 : 0));
    finish_tag(signs ? 3 : 2);
  }

  // The length of NAME and the end of its tag at the beginning of `text`; 0 where it is not there.
  static size_t tag_of(std::string_view text, std::string_view name, std::string_view signs) {
    size_t at = white_prefix(text);
    if (!text.substr(at).starts_with(name)) return 0;
    at += name.size();
    at += white_prefix(text.substr(at));
    if (at < text.size() && signs.find(text[at]) != std::string_view::npos) ++at;
    return text.substr(at).starts_with("%}") ? at + 2 : 0;
  }

  bool raw() {
    const size_t length = tag_of(rest(), "raw", "-");
    if (length == 0) return false;
    const bool strip = all_[at_ + length - 3] == '-';
    skip(length);
    if (strip) skip_white();
    for (size_t i = at_; (i = all_.find("{%", i)) != std::string::npos; ++i) {
      char sign = i + 2 < all_.size() ? all_[i + 2] : ' ';
      if (sign != '-' && sign != '+') sign = ' ';
      const size_t body = i + (sign == ' ' ? 2 : 3);
      const size_t end = tag_of(std::string_view(all_).substr(body), "endraw", "-+");
      if (end == 0) continue;
      const auto text = stripped(std::string_view(all_).substr(at_, i - at_), '%', sign);
      if (!text.empty()) add(Token::Type::data, std::string(text));
      const bool signs = all_[body + end - 3] == '-' || all_[body + end - 3] == '+';
      skip(body + end - (signs ? 3 : 2) - at_);
      finish_tag(signs ? 3 : 2);
      return true;
    }
    throw failure("missing end of raw directive");
  }

  bool end_of(char kind) {
    const std::string_view close = kind == '{' ? "}}" : "%}";
    size_t mark = follows(close) ? 2 : 0;
    if (follows(fmt::format("-{}", close)) || (kind == '%' && follows("+%}"))) mark = 3;
    if (mark == 0) return false;
    add(kind == '{' ? Token::Type::print_end : Token::Type::block_end, "");
    if (kind == '%') {
      finish_tag(mark);
      return true;
    }
    skip(mark);
    if (mark == 3) skip_white();
    return true;
  }

  void words(char kind) {
    brackets_.clear();
    while (true) {
      skip_white();
      if (at_ == all_.size()) return;
      if (brackets_.empty() && end_of(kind)) return;
      const char c = all_[at_];
      if (c == '\'' || c == '"')
        string(c);
      else if (is_digit(c))
        number();
      else if (in_name(c))
        name();
      else
        mark();
    }
  }

  void name() {
    size_t n = 1;
    while (at_ + n < all_.size() && in_name(all_[at_ + n])) ++n;
    add(Token::Type::name, all_.substr(at_, n));
    skip(n);
  }

  void string(char quote) {
    size_t end = at_ + 1;
    while (end < all_.size() && all_[end] != quote) end += all_[end] == '\\' ? 2 : 1;
    if (end >= all_.size()) throw failure("a string has no end");
    add(Token::Type::text, Unescaper(rest().substr(1, end - at_ - 1)).run());
    skip(end + 1 - at_);
  }

  // Digits with single _ between them.
  size_t digits(size_t from) const {
    size_t n = from;
    while (n < all_.size() &&
           (is_digit(all_[n]) || (all_[n] == '_' && n > from && n + 1 < all_.size() &&
                                  is_digit(all_[n + 1]) && all_[n - 1] != '_')))
      ++n;
    return n;
  }

  void number() {
    size_t end = digits(at_);
    bool whole = true;
    const bool index = at_ > 0 && all_[at_ - 1] == '.';  // x.0.1
    const bool point = !index && end < all_.size() && all_[end] == '.';
    const size_t fraction = point ? digits(end + 1) : end;
    if (fraction > end + 1) end = fraction, whole = false;
    if (end < all_.size() && (all_[end] == 'e' || all_[end] == 'E')) {
      const bool sign = end + 1 < all_.size() && (all_[end + 1] == '-' || all_[end + 1] == '+');
      const size_t first = end + (sign ? 2 : 1);
      if (digits(first) > first) end = digits(first), whole = false;
    }
    std::string text = all_.substr(at_, end - at_);
    std::erase(text, '_');
    if (!whole) {
      add(Token::Type::real, text);
      out_.back().real = real_of(text);
    } else if (text == "0" && end < all_.size() &&
               std::string_view("xXoObB").find(all_[end]) != std::string_view::npos) {
      return based_number();
    } else {
      whole_number(text, 10);
    }
    skip(end - at_);
  }

  static double real_of(const std::string& text) {
    double value = 0;
    const auto read = std::from_chars(text.data(), text.data() + text.size(), value);
    if (read.ec == std::errc::invalid_argument) throw failure("a number that is none");
    return value;
  }

  void whole_number(const std::string& text, int base) {
    add(Token::Type::integer, text);
    const auto read =
        std::from_chars(text.data(), text.data() + text.size(), out_.back().integer, base);
    if (read.ec != std::errc() || read.ptr != text.data() + text.size())
      throw failure("a whole number beyond 64 bits, or none");
    if (base == 10 && text.size() > 1 && text[0] == '0' &&
        text.find_first_not_of('0') != std::string::npos)
      throw failure("a whole number that begins with 0");
  }

  void based_number() {
    const char kind = static_cast<char>(all_[at_ + 1] | 0x20);
    size_t n = 2;
    while (at_ + n < all_.size() && in_name(all_[at_ + n])) ++n;
    std::string text = all_.substr(at_ + 2, n - 2);
    std::erase(text, '_');
    whole_number(text, kind == 'x' ? 16 : kind == 'o' ? 8 : 2);
    skip(n);
  }

  void mark() {
    constexpr std::string_view kLong[] = {"//", "**", "==", "!=", ">=", "<="};
    constexpr std::string_view kShort = "+-/*%~[](){}><=.:|,;";
    for (const std::string_view m : kLong) {
      if (!follows(m)) continue;
      add(Token::Type::mark, std::string(m));
      return skip(2);
    }
    const char c = all_[at_];
    if (kShort.find(c) == std::string_view::npos)
      throw failure(fmt::format("unexpected character {}", in_quotes(std::string_view(&c, 1))));
    bracket(c);
    add(Token::Type::mark, std::string(1, c));
    skip(1);
  }

  void bracket(char c) {
    if (c == '{' || c == '(' || c == '[') brackets_ += c == '{' ? '}' : c == '(' ? ')' : ']';
    if (c != '}' && c != ')' && c != ']') return;
    if (brackets_.empty() || brackets_.back() != c)
      throw failure(fmt::format("unexpected '{}'", c));
    brackets_.pop_back();
  }

  std::string all_, brackets_;
  size_t at_ = 0;
  int line_ = 1;
  bool line_begins_ = true;
  std::vector<Token> out_;
};

}  // namespace

std::string line_place(int line) { return fmt::format("chat template, line {}", line); }

std::vector<Token> tokens_of(std::string_view source) { return Lexer(source).run(); }

}  // namespace nibble::jinja
