#include "nibble/text/jinja_text_parts.h"

#include <utf8proc.h>

#include <cstring>

#include "nibble/text/utf8.h"

namespace nibble::jinja {
namespace {

bool is_letter_or_digit(char32_t c) {
  const auto category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  return (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO) ||
         (category >= UTF8PROC_CATEGORY_ND && category <= UTF8PROC_CATEGORY_NO);
}

// The length of the line end at the beginning of `text`, by str.splitlines(); 0 where there is
// none.
size_t line_end_at(std::string_view text) {
  const char c = text[0];
  if (c == '\r') return text.starts_with("\r\n") ? 2 : 1;
  if (c == '\n' || c == '\v' || c == '\f' || (c >= 0x1C && c <= 0x1E)) return 1;
  if (text.starts_with("\xC2\x85")) return 2;
  return text.starts_with("\xE2\x80\xA8") || text.starts_with("\xE2\x80\xA9") ? 3 : 0;
}

}  // namespace

size_t find_bytes(Meter& meter, std::string_view text, std::string_view what, size_t from) {
  if (from > text.size()) return std::string_view::npos;
  const void* found =
      what.empty() ? text.data() + from
                   : memmem(text.data() + from, text.size() - from, what.data(), what.size());
  const size_t at = found == nullptr
                        ? std::string_view::npos
                        : static_cast<size_t>(static_cast<const char*>(found) - text.data());
  meter.step();
  meter.pass(what.size() + (found == nullptr ? text.size() - from : at - from));
  return at;
}

size_t find_last_bytes(Meter& meter, std::string_view text, std::string_view what) {
  if (what.empty()) return text.size();
  size_t last = std::string_view::npos;
  for (size_t at = 0; (at = find_bytes(meter, text, what, at)) != std::string_view::npos; ++at)
    last = at;
  return last;
}

Value replaced(Meter& meter, const Text& text, std::string_view old, const Text& fresh,
               int64_t count) {
  TextBuilder out(meter);
  size_t done = 0;
  for (; count != 0; --count) {
    // An empty text is found in front of every character and behind the last.
    const size_t at = find_bytes(meter, text.bytes, old, done);
    if (at == std::string_view::npos) break;
    out.add(text, done, at);
    out.add(fresh);
    done = at + old.size();
    if (!old.empty()) continue;
    if (done == text.bytes.size()) return out.finish(text.markup);
    const size_t next = done + std::max<size_t>(utf8_length(text.bytes, done), 1);
    out.add(text, done, next);
    done = next;
  }
  out.add(text, done, text.bytes.size());
  return out.finish(text.markup);
}

std::vector<Value> split_text(Meter& meter, const Text& text, std::string_view separator,
                              int64_t most) {
  if (separator.empty()) throw failure("empty separator");
  std::vector<Value> out;
  size_t done = 0;
  for (; most != 0; --most) {
    const size_t at = find_bytes(meter, text.bytes, separator, done);
    if (at == std::string_view::npos) break;
    out.push_back(part_of(meter, text, done, at));
    done = at + separator.size();
  }
  out.push_back(part_of(meter, text, done, text.bytes.size()));
  return out;
}

std::vector<ByteRange> lines_of(Meter& meter, std::string_view text, std::vector<size_t>* ends) {
  std::vector<ByteRange> out;
  size_t begin = 0;
  meter.pass(text.size());
  const auto add = [&](size_t at, size_t end) {
    meter.step();
    out.emplace_back(begin, at);
    if (ends != nullptr) ends->push_back(end);
    begin = end;
  };
  for (size_t at = 0; at < text.size();) {
    const size_t n = line_end_at(text.substr(at));
    if (n > 0) add(at, at + n);
    at += n > 0 ? n : 1;
  }
  if (begin < text.size()) add(text.size(), text.size());
  return out;
}

std::vector<ByteRange> lines_with_last(Meter& meter, const Text& text) {
  std::vector<size_t> ends;
  std::vector<ByteRange> out = lines_of(meter, text.bytes, &ends);
  const bool open = !out.empty() && out.back().second == text.bytes.size();
  if (!open) out.emplace_back(text.bytes.size(), text.bytes.size());
  return out;
}

Value titled(Meter& meter, const Text& text, std::string_view borders) {
  bool capital = true;
  return changed_text(meter, text, [&](char32_t c, std::string& out) {
    const auto letter = static_cast<utf8proc_int32_t>(c);
    append_utf8(
        out, static_cast<char32_t>(capital ? utf8proc_toupper(letter) : utf8proc_tolower(letter)));
    if (borders.empty())
      capital = !is_letter_or_digit(c) || (c >= '0' && c <= '9');
    else
      capital =
          c < 0x80 ? borders.find(static_cast<char>(c)) != std::string_view::npos : is_white(c);
  });
}

int64_t words_in(Meter& meter, const Text& text) {
  int64_t count = 0;
  bool inside = false;
  changed_text(meter, text, [&](char32_t c, std::string&) {
    const bool word = c == '_' || is_letter_or_digit(c);
    if (word && !inside) ++count;
    inside = word;
  });
  return count;
}

}  // namespace nibble::jinja
