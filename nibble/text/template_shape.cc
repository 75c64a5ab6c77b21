#include "nibble/text/template_shape.h"

#include <xxhash.h>

#include <algorithm>

namespace nibble {
namespace {

constexpr std::string_view kSpace = " \t\r\n\f\v";

bool is_name_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

std::string_view right_trimmed(std::string_view text, std::string_view of) {
  const size_t last = text.find_last_not_of(of);
  return text.substr(0, last == std::string_view::npos ? 0 : last + 1);
}

// One word a line; a leading byte tells text, tag, string and word apart, so that none can pass for
// another.
class TemplateShape {
 public:
  explicit TemplateShape(std::string_view text) : all_(text) {
    if (all_.ends_with('\n')) all_.remove_suffix(1);  // as Jinja does
  }

  std::string run() && {
    while (at_ < all_.size()) {
      const size_t tag = next_tag();
      const size_t end = tag == std::string_view::npos ? tag : end_of(tag);
      if (end == std::string_view::npos) {
        text(all_.substr(at_), '\0', false);
        break;
      }
      text(all_.substr(at_, tag - at_), all_[tag + 1], all_[tag + 2] == '-');
      inside(tag, end);
      at_ = end;
    }
    return std::move(out_);
  }

 private:
  size_t next_tag() const {
    for (size_t i = all_.find('{', at_); i < all_.size(); i = all_.find('{', i + 1)) {
      if (i + 2 < all_.size() &&
          std::string_view("{%#").find(all_[i + 1]) != std::string_view::npos)
        return i;
    }
    return std::string_view::npos;
  }

  // Behind the tag that begins at `tag`; strings inside of it may hold its end.
  size_t end_of(size_t tag) const {
    const char kind = all_[tag + 1] == '{' ? '}' : all_[tag + 1];
    const char close[] = {kind, '}', '\0'};
    if (kind == '#') {
      const size_t end = all_.find(close, tag + 2);
      return end == std::string_view::npos ? end : end + 2;
    }
    for (size_t i = tag + 2; i + 1 < all_.size(); ++i) {
      if (all_[i] == '\'' || all_[i] == '"') {
        i = end_of_string(i) - 1;
        if (i >= all_.size()) return std::string_view::npos;
      } else if (all_.substr(i, 2) == close && !(kind == '}' && more_braces(i))) {
        return i + 2;
      }
    }
    return std::string_view::npos;
  }

  // "}}" may be the end of a dictionary and one more brace: {{ {'a': 1}}}.
  bool more_braces(size_t i) const { return i + 2 < all_.size() && all_[i + 2] == '}'; }

  size_t end_of_string(size_t begin) const {
    for (size_t i = begin + 1; i < all_.size(); ++i) {
      if (all_[i] == '\\') {
        ++i;
      } else if (all_[i] == all_[begin]) {
        return i + 1;
      }
    }
    return std::string_view::npos;
  }

  // `next` is the kind of the tag behind it, '\0' at the end.
  void text(std::string_view t, char next, bool trim) {
    const bool from_start = at_ == 0;
    if (cut_all_) {
      t.remove_prefix(std::min(t.find_first_not_of(kSpace), t.size()));
    } else if (cut_line_) {
      if (t.starts_with("\r\n")) t.remove_prefix(1);
      if (t.starts_with('\n')) t.remove_prefix(1);
    }
    if (trim) {
      t = right_trimmed(t, kSpace);
    } else if (next == '%' || next == '#') {
      const std::string_view rest = right_trimmed(t, " \t");
      const bool fresh = rest.empty() ? from_start || cut_line_newline_ : rest.back() == '\n';
      if (fresh) t = rest;
    }
    word('T', t);
  }

  void inside(size_t tag, size_t end) {
    const char kind = all_[tag + 1];
    std::string_view body = all_.substr(tag + 2, end - tag - 4);
    if (body.starts_with('-') || body.starts_with('+')) body.remove_prefix(1);
    cut_all_ = body.ends_with('-');
    if (cut_all_) body.remove_suffix(1);
    cut_line_ = kind != '{';
    cut_line_newline_ = cut_line_ && end < all_.size() && (all_[end] == '\n' || all_[end] == '\r');
    if (kind == '#') return;
    word('{', std::string_view(&kind, 1));
    words(body);
    word('}', "");
  }

  void words(std::string_view body) {
    for (size_t i = 0; i < body.size();) {
      const char c = body[i];
      if (kSpace.find(c) != std::string_view::npos) {
        ++i;
      } else if (c == '\'' || c == '"') {
        const size_t length = string_at(body.substr(i));
        word('S', unescaped(body.substr(i + 1, length - 2)));
        i += length;
      } else if (is_name_character(c)) {
        size_t end = i;
        while (end < body.size() && is_name_character(body[end])) ++end;
        word('W', body.substr(i, end - i));
        i = end;
      } else if (const size_t length = subscript(body.substr(i)); length > 0) {
        word('W', ".");
        word('W', body.substr(body.find_first_of("'\"", i) + 1, name_length_));
        i += length;
      } else {
        word('W', body.substr(i, 1));
        ++i;
      }
    }
  }

  static size_t string_at(std::string_view s) {
    for (size_t i = 1; i < s.size(); ++i) {
      if (s[i] == '\\') {
        ++i;
      } else if (s[i] == s[0]) {
        return i + 1;
      }
    }
    return s.size();
  }

  static std::string unescaped(std::string_view s) {
    std::string out;
    for (size_t i = 0; i < s.size(); ++i) {
      if (s[i] != '\\' || i + 1 == s.size()) {
        out += s[i];
        continue;
      }
      const char c = s[++i];
      if (c == 'n' || c == 't' || c == 'r') {
        out += c == 'n' ? '\n' : c == 't' ? '\t' : '\r';
      } else if (c == '\\' || c == '\'' || c == '"') {
        out += c;
      } else {
        out += '\\';
        out += c;
      }
    }
    return out;
  }

  // The length of ['name'] at the beginning of `s`, 0 where there is none.
  size_t subscript(std::string_view s) {
    if (s.size() < 5 || s[0] != '[' || (s[1] != '\'' && s[1] != '"')) return 0;
    size_t i = 2;
    while (i < s.size() && is_name_character(s[i])) ++i;
    if (i == 2 || i + 1 >= s.size() || s[i] != s[1] || s[i + 1] != ']') return 0;
    // A list of one string looks the same; it follows no name.
    if (out_.size() < 2 ||
        !(is_name_character(out_[out_.size() - 2]) || out_[out_.size() - 2] == ']'))
      return 0;
    name_length_ = i - 2;
    return i + 2;
  }

  void word(char kind, std::string_view w) {
    if (kind == 'T' && w.empty()) return;
    out_ += kind;
    for (const char c : w) {
      if (c == '\n') {
        out_ += "\\n";
      } else if (c == '\\') {
        out_ += "\\\\";
      } else {
        out_ += c;
      }
    }
    out_ += '\n';
  }

  std::string_view all_;
  std::string out_;
  size_t at_ = 0, name_length_ = 0;
  bool cut_all_ = false, cut_line_ = false, cut_line_newline_ = false;
};

}  // namespace

std::string template_shape(std::string_view text) { return TemplateShape(text).run(); }

uint64_t template_fingerprint(std::string_view text) {
  const std::string shape = template_shape(text);
  return XXH3_64bits(shape.data(), shape.size());
}

}  // namespace nibble
