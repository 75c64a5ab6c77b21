#include "nibble/text/utf8.h"

#include <fmt/format.h>

#include <algorithm>
#include <initializer_list>

#include "nibble/core/error.h"
#include "nibble/core/utf8.h"

namespace nibble {
namespace {

// The length of the longest beginning of a valid character at text[i]; 0 where the byte begins
// none.
size_t valid_beginning(std::string_view text, size_t i) {
  std::string probe;
  for (size_t length = 1; length <= 3 && i + length <= text.size(); ++length) {
    // Some continuation completes a valid beginning: the extremes of what may follow try them all.
    bool possible = false;
    for (const char next : {'\x80', '\x90', '\xBF'}) {
      for (size_t more = 1; more <= 3 && !possible; ++more) {
        probe.assign(text.substr(i, length)).append(1, next).append(more - 1, '\x80');
        possible = utf8_length(probe, 0) == probe.size();
      }
    }
    if (!possible) return length - 1;
  }
  return std::min<size_t>(3, text.size() - i);
}

}  // namespace

char32_t take_code_point(std::string_view& text, std::string_view whole) {
  NIBBLE_CHECK(!text.empty());
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const size_t length = utf8_length(text, 0);
  if (length == 0) {
    throw corrupt(fmt::format("not UTF-8 (byte 0x{:02x}); nibble reads UTF-8 text only", byte(0)))
        .at(fmt::format("offset {}", text.data() - whole.data()));
  }
  char32_t value = length == 1 ? byte(0) : byte(0) & (0xffu >> (length + 1));
  for (size_t i = 1; i < length; ++i) value = (value << 6) | (byte(i) & 0x3fu);
  text.remove_prefix(length);
  return value;
}

std::u32string decode_utf8(std::string_view text) {
  std::u32string out;
  out.reserve(text.size());
  for (std::string_view rest = text; !rest.empty();) out.push_back(take_code_point(rest, text));
  return out;
}

void append_utf8(std::string& out, char32_t c) {
  const auto put = [&](char32_t byte) { out.push_back(static_cast<char>(byte)); };
  const auto tail = [&](int shift) { put(0x80 | ((c >> shift) & 0x3f)); };
  if (c < 0x80) return put(c);
  if (c < 0x800) return put(0xc0 | (c >> 6)), tail(0);
  if (c < 0x10000) return put(0xe0 | (c >> 12)), tail(6), tail(0);
  put(0xf0 | (c >> 18)), tail(12), tail(6), tail(0);
}

std::string repaired_utf8(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  size_t plain = 0;
  for (size_t i = 0; i < text.size();) {
    if (const size_t length = static_cast<unsigned char>(text[i]) < 0x80 ? 1 : utf8_length(text, i);
        length > 0) {
      i += length;
      continue;
    }
    out.append(text.substr(plain, i - plain)).append("\xEF\xBF\xBD");
    i += std::max<size_t>(1, valid_beginning(text, i));
    plain = i;
  }
  return out.append(text.substr(plain));
}

size_t unfinished_utf8(std::string_view text) {
  for (size_t length = 1; length <= std::min<size_t>(3, text.size()); ++length) {
    const size_t i = text.size() - length;
    if ((static_cast<unsigned char>(text[i]) >> 6) == 2) continue;  // not a beginning
    return utf8_length(text, i) == 0 && valid_beginning(text, i) == length ? length : 0;
  }
  return 0;
}

}  // namespace nibble
