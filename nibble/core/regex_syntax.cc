#include "nibble/core/regex_syntax.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <vector>

#include "nibble/core/error.h"
#include "nibble/core/utf8.h"

namespace nibble {
namespace {

// White_Space of Unicode; PCRE2's own \s holds U+180E as well, which ceased to be a space.
constexpr std::string_view kSpaces = R"(\t-\r\x{85}\p{Z})";
constexpr std::string_view kCallout = "(?C1)";
// What fails before a repeat's least number is reached is not counted, so that number stays small.
constexpr int kMostAtLeast = 255;

[[noreturn]] void refuse(std::string_view what) {
  throw unsupported(fmt::format("{} in a pattern is not supported", what));
}

bool begins_number(char c) { return c >= '0' && c <= '9'; }

// The digits at the beginning, as a number of at most 65,535 (PCRE2's limit).
int take_repeat(std::string_view& text) {
  int value = 0;
  while (!text.empty() && begins_number(text[0])) {
    value = std::min(value * 10 + (text[0] - '0'), 65'535);
    text.remove_prefix(1);
  }
  return value;
}

class Translation {
 public:
  explicit Translation(std::string_view pattern) : rest_(pattern) {
    while (!rest_.empty()) step();
  }
  std::string text;

 private:
  void step() {
    const char c = rest_.front();
    if (in_class_) return in_class(c);
    if (c == '\\') return atom(), escape();
    if (c == '[') {
      atom();
      in_class_ = first_in_class_ = true;
      return take(1);
    }
    if (c == '(') return open();
    if (c == ')') return close();
    if (const size_t length = quantifier(); length > 0) return repeat(length);
    c == '|' ? no_atom() : atom();
    take(std::max<size_t>(1, utf8_length(rest_, 0)));
  }

  void in_class(char c) {
    if (c == '\\') return escape();
    if (rest_.starts_with("&&")) refuse("an intersection of classes (&&)");
    if (c == '[' && !rest_.starts_with("[:")) refuse("a class inside a class");
    if (c == '[') return take(std::min(rest_.size(), rest_.find(":]") + 2));
    if (c == ']' && !first_in_class_) in_class_ = false;
    first_in_class_ = first_in_class_ && c == '^';
    take(1);
  }

  void escape() {
    if (rest_.size() < 2) refuse("a backslash at the end");
    const char c = rest_[1];
    first_in_class_ = false;
    if (c == 's' || (c == 'S' && !in_class_)) {
      rest_.remove_prefix(2);
      text +=
          in_class_ ? std::string(kSpaces) : fmt::format("[{}{}]", c == 'S' ? "^" : "", kSpaces);
      return;
    }
    if (std::string_view("hHKCXRGQEgk").find(c) != std::string_view::npos ||
        (c >= '1' && c <= '9')) {
      refuse(fmt::format("\"\\{}\"", printable({&c, 1})));
    }
    // \p{L} and \x{85} as a whole: their brace is no quantifier.
    const bool braced = (c == 'p' || c == 'P' || c == 'x') && rest_.substr(2).starts_with('{');
    const size_t end = braced ? rest_.find('}') : 1;
    if (end == std::string_view::npos) refuse("a brace without its end");
    take(end + 1);
  }

  // Of what begins with "(?" only what means the same in both languages: (?i) does at the beginning
  // of a pattern; options beside i, comments, conditions and recursion do not.
  void open() {
    if (rest_.starts_with("(*")) refuse("a verb \"(*\"");
    if (text.empty() && rest_.starts_with("(?i)")) return take(4);
    groups_.push_back(text.size());
    no_atom();
    if (!rest_.starts_with("(?")) return take(1);
    constexpr std::array<std::string_view, 8> kBoth = {
        "(?:", "(?=", "(?!", "(?<=", "(?<!", "(?>", "(?i:", "(?-i:"};
    const auto* const known = std::find_if(kBoth.begin(), kBoth.end(),
                                           [&](auto begin) { return rest_.starts_with(begin); });
    if (known == kBoth.end()) refuse(in_quotes(rest_.substr(0, 4)));
    take(known->size());
  }

  void close() {
    if (!groups_.empty()) {
      atom_ = groups_.back();
      groups_.pop_back();
    }
    take(1);
  }

  // The length of the quantifier that `rest_` begins with; 0 where it is none.
  size_t quantifier() const {
    const char c = rest_.front();
    if (c == '*' || c == '+' || c == '?') return 1;
    if (c != '{') return 0;
    if (rest_.starts_with("{,")) refuse("a quantifier \"{,n}\"");
    std::string_view inside = rest_.substr(1);
    if (inside.empty() || !begins_number(inside[0])) return 0;
    const int least = take_repeat(inside);
    if (inside.starts_with(',')) inside.remove_prefix(1), take_repeat(inside);
    if (!inside.starts_with('}')) return 0;
    if (least > kMostAtLeast) refuse(fmt::format("a repeat of {} times and more", least));
    if (inside.starts_with("}+")) refuse("a quantifier \"{...}+\"");
    return rest_.size() - inside.size() + 1;
  }

  void repeat(size_t length) {
    if (atom_ == kNone) refuse("a quantifier without a part of its own that it repeats");
    const bool lazy_or_possessive =
        rest_.size() > length && (rest_[length] == '?' || rest_[length] == '+');
    const bool counted =
        atom_ >= kCallout.size() && std::string_view(text).substr(0, atom_).ends_with(kCallout);
    if (!counted) text.insert(atom_, kCallout);
    take(length + (lazy_or_possessive ? 1 : 0));
    text += kCallout;
    no_atom();
  }

  void atom() { atom_ = text.size(); }
  void no_atom() { atom_ = kNone; }

  void take(size_t n) {
    text += rest_.substr(0, n);
    rest_.remove_prefix(std::min(n, rest_.size()));
  }

  static constexpr size_t kNone = std::string::npos;
  std::string_view rest_;
  size_t atom_ = kNone;         // where in `text` that begins which a quantifier would repeat
  std::vector<size_t> groups_;  // where the open groups begin
  bool in_class_ = false, first_in_class_ = false;
};

}  // namespace

std::string pcre2_pattern(std::string_view pattern) { return Translation(pattern).text; }

}  // namespace nibble
