#include "nibble/text/utf8.h"

#include <fmt/format.h>

#include "nibble/core/error.h"
#include "nibble/core/utf8.h"

namespace nibble {

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

}  // namespace nibble
