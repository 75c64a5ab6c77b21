#include "nibble/text/normalizer.h"

#include <fmt/format.h>
#include <utf8proc.h>

#include <algorithm>

#include "nibble/core/error.h"
#include "nibble/core/utf8.h"
#include "nibble/text/utf8.h"

namespace nibble {
namespace {

using CodePoint = utf8proc_int32_t;

bool is_ascii(std::string_view text) {
  return std::none_of(text.begin(), text.end(), [](char c) { return (c & 0x80) != 0; });
}

int combining_class(CodePoint c) { return utf8proc_get_property(c)->combining_class; }

// utf8proc's own sorting of marks takes n^2 steps for n marks in a row.
void sort_marks(std::vector<CodePoint>& text) {
  for (size_t i = 0; i < text.size(); ++i) {
    if (combining_class(text[i]) == 0) continue;
    size_t end = i + 1;
    while (end < text.size() && combining_class(text[end]) != 0) ++end;
    std::stable_sort(
        text.begin() + static_cast<ptrdiff_t>(i), text.begin() + static_cast<ptrdiff_t>(end),
        [](CodePoint a, CodePoint b) { return combining_class(a) < combining_class(b); });
    i = end - 1;
  }
}

std::vector<CodePoint> decompose(std::string_view text, utf8proc_option_t options) {
  std::vector<CodePoint> out;
  out.reserve(text.size());
  for (std::string_view rest = text; !rest.empty();) {
    const auto c = static_cast<CodePoint>(take_code_point(rest, text));
    constexpr utf8proc_ssize_t kLongest = 32;  // 18 in Unicode 15
    CodePoint parts[kLongest];
    const auto n = utf8proc_decompose_char(c, parts, kLongest, options, nullptr);
    NIBBLE_CHECK(n >= 0 && n <= kLongest);
    out.insert(out.end(), parts, parts + n);
  }
  sort_marks(out);
  return out;
}

class NormalFormStep : public Normalizer {
 public:
  explicit NormalFormStep(NormalForm form) : form_(form) {}
  std::string apply(std::string text, const Normalizing&) const override {
    return is_ascii(text) ? std::move(text) : normal_form(text, form_);
  }

  std::string name() const override {
    constexpr std::string_view kNames[] = {"NFC", "NFD", "NFKC", "NFKD"};
    return std::string(kNames[static_cast<size_t>(form_)]);
  }

 private:
  NormalForm form_;
};

class Lowercase : public Normalizer {
 public:
  std::string apply(std::string text, const Normalizing&) const override {
    std::string out;
    out.reserve(text.size());
    for (std::string_view rest = text; !rest.empty();) {
      const char32_t c = take_code_point(rest, text);
      if (c == 0x130) {  // the only one that becomes two: i and a dot above
        out += "i\xCC\x87";
      } else {
        append_utf8(out, static_cast<char32_t>(utf8proc_tolower(static_cast<CodePoint>(c))));
      }
    }
    return out;
  }
  std::string name() const override { return "Lowercase"; }
};

class Prepend : public Normalizer {
 public:
  Prepend(std::string prefix, bool only_first)
      : prefix_(std::move(prefix)), only_first_(only_first) {}
  std::string apply(std::string text, const Normalizing& with) const override {
    if (text.empty() || (only_first_ && !with.first)) return text;
    if (text.size() + prefix_.size() > with.most) grown_too_long(with.most);
    return prefix_ + text;
  }

  std::string name() const override {
    return fmt::format("Prepend {}{}", in_quotes(prefix_), only_first_ ? " (first part)" : "");
  }

 private:
  std::string prefix_;
  bool only_first_;
};

class ReplaceText : public Normalizer {
 public:
  ReplaceText(std::string pattern, std::string content)
      : pattern_(std::move(pattern)), content_(std::move(content)) {}
  std::string apply(std::string text, const Normalizing& with) const override {
    return replaced(text, pattern_, content_, with.most);
  }

  std::string name() const override {
    return fmt::format("Replace {} by {}", in_quotes(pattern_), in_quotes(content_));
  }

 private:
  std::string pattern_, content_;
};

class ReplaceMatches : public Normalizer {
 public:
  ReplaceMatches(Regex pattern, std::string content)
      : pattern_(std::move(pattern)), content_(std::move(content)) {}
  std::string apply(std::string text, const Normalizing& with) const override {
    with.regex.allow(text.size());
    std::string out;
    size_t done = 0;
    for (size_t from = 0; from <= text.size();) {
      const auto match = pattern_.search(text, from, with.regex);
      if (!match) break;
      if (out.size() + match->begin - done + content_.size() > with.most) grown_too_long(with.most);
      out.append(text, done, match->begin - done).append(content_);
      done = match->end;
      from = match->size() > 0 ? match->end
                               : match->end + std::max<size_t>(1, utf8_length(text, match->end));
    }
    return out.append(text, done);
  }

  std::string name() const override {
    return fmt::format("Replace pattern {} by {}", in_quotes(pattern_.pattern()),
                       in_quotes(content_));
  }

 private:
  Regex pattern_;
  std::string content_;
};

class Strip : public Normalizer {
 public:
  Strip(bool left, bool right) : left_(left), right_(right), pattern_("\\S") {}
  std::string apply(std::string text, const Normalizing& with) const override {
    size_t begin = 0, end = text.size();
    if (left_) {
      const auto first = pattern_.search(text, 0, with.regex);
      begin = first ? first->begin : text.size();
    }
    for (size_t at = end; right_ && at > begin;) {
      do --at;
      while (at > begin && (static_cast<unsigned char>(text[at]) >> 6) == 2);
      if (pattern_.search(std::string_view(text).substr(at, end - at), 0, with.regex)) break;
      end = at;
    }
    return text.substr(begin, end - begin);
  }

  std::string name() const override {
    return fmt::format("Strip{}{}", left_ ? " left" : "", right_ ? " right" : "");
  }

 private:
  bool left_, right_;
  Regex pattern_;
};

class SingleSpaces : public Normalizer {
 public:
  std::string apply(std::string text, const Normalizing&) const override {
    std::string out;
    for (const char c : text) {
      if (c != ' ' || (!out.empty() && out.back() != ' ')) out += c;
    }
    if (!out.empty() && out.back() == ' ') out.pop_back();
    return out;
  }
  std::string name() const override { return "SingleSpaces"; }
};

}  // namespace

std::string normal_form(std::string_view text, NormalForm form) {
  int options = UTF8PROC_STABLE;
  if (form == NormalForm::nfkc || form == NormalForm::nfkd) options |= UTF8PROC_COMPAT;
  const bool compose = form == NormalForm::nfc || form == NormalForm::nfkc;
  std::vector<CodePoint> points =
      decompose(text, static_cast<utf8proc_option_t>(options | UTF8PROC_DECOMPOSE));
  if (compose) {
    const auto n =
        utf8proc_normalize_utf32(points.data(), static_cast<utf8proc_ssize_t>(points.size()),
                                 static_cast<utf8proc_option_t>(options | UTF8PROC_COMPOSE));
    NIBBLE_CHECK(n >= 0);
    points.resize(static_cast<size_t>(n));
  }
  std::string out;
  out.reserve(text.size());
  for (const CodePoint c : points) append_utf8(out, static_cast<char32_t>(c));
  return out;
}

void grown_too_long(size_t most) {
  throw corrupt(
      fmt::format("it makes more than {} bytes of a text, where the limit is 1,024 and 32 for each "
                  "byte of the text",
                  most));
}

std::string replaced(std::string_view text, std::string_view from, std::string_view to,
                     size_t most) {
  std::string out;
  size_t done = 0;
  for (size_t at; (at = text.find(from, done)) != std::string_view::npos; done = at + from.size()) {
    if (out.size() + at - done + to.size() > most) grown_too_long(most);
    out.append(text.substr(done, at - done)).append(to);
  }
  return out.append(text.substr(done));
}

std::string normalized(const Normalizers& steps, std::string text, bool first,
                       RegexScratch& regex) {
  const Normalizing with{regex, most_grown(text.size()), first};
  for (const auto& step : steps) {
    text = step->apply(std::move(text), with);
    if (text.size() > with.most) grown_too_long(with.most);
  }
  return text;
}

std::unique_ptr<Normalizer> make_normal_form(NormalForm form) {
  return std::make_unique<NormalFormStep>(form);
}
std::unique_ptr<Normalizer> make_lowercase() { return std::make_unique<Lowercase>(); }
std::unique_ptr<Normalizer> make_prepend(std::string prefix, bool only_first) {
  return std::make_unique<Prepend>(std::move(prefix), only_first);
}
std::unique_ptr<Normalizer> make_replace(Regex pattern, std::string content) {
  return std::make_unique<ReplaceMatches>(std::move(pattern), std::move(content));
}
std::unique_ptr<Normalizer> make_replace(std::string pattern, std::string content) {
  if (pattern.empty()) throw corrupt("an empty text to replace");
  return std::make_unique<ReplaceText>(std::move(pattern), std::move(content));
}
std::unique_ptr<Normalizer> make_strip(bool left, bool right) {
  return std::make_unique<Strip>(left, right);
}
std::unique_ptr<Normalizer> make_single_spaces() { return std::make_unique<SingleSpaces>(); }

}  // namespace nibble
