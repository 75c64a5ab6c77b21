#include "nibble/text/jinja_text.h"

#include <utf8proc.h>

#include <algorithm>

#include "nibble/text/utf8.h"

namespace nibble::jinja {
namespace {

// The character before `end`.
size_t character_start(std::string_view text, size_t end) {
  do --end;
  while (end > 0 && (static_cast<unsigned char>(text[end]) >> 6) == 2);
  return end;
}

char32_t character_at(std::string_view text, size_t at) {
  std::string_view rest = text.substr(at);
  return take_code_point(rest, text);
}

}  // namespace

void TextBuilder::mark(size_t begin, size_t end, Origin origin) {
  if (origin == 0 || begin == end) return;
  if (!spans_.empty() && spans_.back().end == begin && spans_.back().origin == origin) {
    spans_.back().end = end;
    return;
  }
  charge_.add(sizeof(OriginSpan));
  spans_.push_back({begin, end, origin});
}

void TextBuilder::add(std::string_view bytes, Origin origin) {
  charge_.add(bytes.size());
  charge_.meter().pass(bytes.size());
  mark(bytes_.size(), bytes_.size() + bytes.size(), origin);
  bytes_ += bytes;
}

void TextBuilder::add(const Text& text, size_t begin, size_t end) {
  charge_.add(end - begin);
  charge_.meter().pass(end - begin);
  const size_t base = bytes_.size();
  bytes_.append(text.bytes, begin, end - begin);
  auto span = std::upper_bound(text.spans.begin(), text.spans.end(), begin,
                               [](size_t at, const OriginSpan& s) { return at < s.end; });
  for (; span != text.spans.end() && span->begin < end; ++span) {
    charge_.meter().step();
    mark(base + std::max(span->begin, begin) - begin, base + std::min(span->end, end) - begin,
         span->origin);
  }
}

void TextBuilder::cover(Origin origin) {
  std::vector<OriginSpan> before = std::move(spans_);
  spans_.clear();
  size_t done = 0;
  for (const OriginSpan& s : before) {
    mark(done, s.begin, origin);
    mark(s.begin, s.end, s.origin | origin);
    done = s.end;
  }
  mark(done, bytes_.size(), origin);
}

Origin origin_of(const Text& text) {
  Origin out = 0;
  for (const OriginSpan& s : text.spans) out |= s.origin;
  return out;
}

Value part_of(Meter& meter, const Text& text, size_t begin, size_t end) {
  TextBuilder builder(meter);
  builder.add(text, begin, end);
  return builder.finish(text.markup);
}

size_t offset_of(Meter& meter, const Text& text, int64_t index) {
  if (text.ascii()) return static_cast<size_t>(index);
  size_t at = 0;
  while (at < text.bytes.size() && index > 0) {
    at += std::max<size_t>(utf8_length(text.bytes, at), 1);
    --index;
  }
  meter.pass(at);
  return at;
}

std::vector<Value> characters_of(Meter& meter, const Text& text) {
  std::vector<Value> out;
  for (size_t at = 0; at < text.bytes.size();) {
    const size_t n = std::max<size_t>(utf8_length(text.bytes, at), 1);
    meter.step();
    out.push_back(part_of(meter, text, at, at + n));
    at += n;
  }
  return out;
}

bool is_white(char32_t c) {
  if (c < 0x80) return c == ' ' || (c >= 9 && c <= 13) || (c >= 0x1C && c <= 0x1F);
  return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 ||
         c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

size_t white_prefix(std::string_view text) {
  size_t at = 0;
  while (at < text.size() && is_white(character_at(text, at))) at += utf8_length(text, at);
  return at;
}

size_t white_suffix(std::string_view text) {
  size_t at = text.size();
  while (at > 0) {
    const size_t before = character_start(text, at);
    if (!is_white(character_at(text, before))) break;
    at = before;
  }
  return at;
}

Value changed_text(Meter& meter, const Text& text,
                   const std::function<void(char32_t, std::string&)>& change) {
  TextBuilder builder(meter);
  std::string piece;
  size_t done = 0;
  const auto change_to = [&](size_t end, Origin origin) {
    piece.clear();
    while (done < end) {
      change(character_at(text.bytes, done), piece);
      done += utf8_length(text.bytes, done);
    }
    builder.add(piece, origin);
  };
  for (const OriginSpan& s : text.spans) {
    change_to(s.begin, 0);
    change_to(s.end, s.origin);
  }
  change_to(text.bytes.size(), 0);
  return builder.finish(text.markup);
}

Value lowered(Meter& meter, const Text& text) {
  return changed_text(meter, text, [](char32_t c, std::string& out) {
    append_utf8(out, static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c))));
  });
}

Value raised(Meter& meter, const Text& text) {
  return changed_text(meter, text, [](char32_t c, std::string& out) {
    if (c == 0xDF) {
      out += "SS";
      return;
    }
    append_utf8(out, static_cast<char32_t>(utf8proc_toupper(static_cast<utf8proc_int32_t>(c))));
  });
}

Value escaped(Meter& meter, const Value& text) {
  Value as_text = shown(meter, text);
  if (text_of(as_text).markup) return as_text;
  const Value out = changed_text(meter, text_of(as_text), [](char32_t c, std::string& into) {
    constexpr std::string_view kMarks = "&<>'\"";
    constexpr std::string_view kEntities[] = {"&amp;", "&lt;", "&gt;", "&#39;", "&#34;"};
    const size_t at = c < 0x80 ? kMarks.find(static_cast<char>(c)) : std::string_view::npos;
    if (at == std::string_view::npos)
      append_utf8(into, c);
    else
      into += kEntities[at];
  });
  TextBuilder builder(meter);
  builder.add(text_of(out));
  return builder.finish(true);
}

}  // namespace nibble::jinja
