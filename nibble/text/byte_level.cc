#include "nibble/text/byte_level.h"

#include <array>

#include "nibble/text/utf8.h"

namespace nibble {
namespace {

struct ByteTable {
  std::array<char32_t, 256> character{};
  std::array<int16_t, 0x180> byte{};  // by character; -1 for none

  constexpr ByteTable() {
    for (int16_t& b : byte) b = -1;
    char32_t next = 0x100;
    for (uint32_t b = 0; b < 256; ++b) {
      const bool itself = (b > 0x20 && b < 0x7F) || (b > 0xA0 && b != 0xAD);
      character[b] = itself ? char32_t{b} : next++;
      byte[character[b]] = static_cast<int16_t>(b);
    }
  }
};

constexpr ByteTable kTable;

}  // namespace

char32_t byte_level_character(uint8_t byte) { return kTable.character[byte]; }

std::string byte_level_spelling(std::string_view bytes) {
  std::string out;
  for (const char b : bytes) append_utf8(out, byte_level_character(static_cast<uint8_t>(b)));
  return out;
}

void append_byte_level(std::string_view spelling, std::string& out) {
  const size_t before = out.size();
  for (std::string_view rest = spelling; !rest.empty();) {
    const char32_t c = take_code_point(rest, spelling);
    const int byte = c < kTable.byte.size() ? kTable.byte[c] : -1;
    if (byte < 0) {
      out.resize(before);
      out += spelling;
      return;
    }
    out += static_cast<char>(byte);
  }
}

}  // namespace nibble
