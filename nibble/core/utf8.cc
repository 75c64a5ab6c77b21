#include "nibble/core/utf8.h"

namespace nibble {
namespace {

// RFC 3629, section 4: what the lead byte says of the length and of the second byte's range.
struct Lead {
  unsigned char first, last, length, second_min, second_max;
};
constexpr Lead kLeads[] = {
    {0x00, 0x7F, 1, 0x80, 0xBF}, {0xC2, 0xDF, 2, 0x80, 0xBF}, {0xE0, 0xE0, 3, 0xA0, 0xBF},
    {0xE1, 0xEC, 3, 0x80, 0xBF}, {0xED, 0xED, 3, 0x80, 0x9F}, {0xEE, 0xEF, 3, 0x80, 0xBF},
    {0xF0, 0xF0, 4, 0x90, 0xBF}, {0xF1, 0xF3, 4, 0x80, 0xBF}, {0xF4, 0xF4, 4, 0x80, 0x8F},
};

}  // namespace

size_t utf8_length(std::string_view text, size_t i) {
  const auto byte = [&](size_t j) { return static_cast<unsigned char>(text[j]); };
  if (i >= text.size()) return 0;
  for (const Lead& lead : kLeads) {
    if (byte(i) < lead.first || byte(i) > lead.last) continue;
    if (lead.length > text.size() - i) return 0;
    for (size_t j = 1; j < lead.length; ++j) {
      const bool second = j == 1;
      const unsigned char low = second ? lead.second_min : 0x80;
      const unsigned char high = second ? lead.second_max : 0xBF;
      if (byte(i + j) < low || byte(i + j) > high) return 0;
    }
    return lead.length;
  }
  return 0;
}

bool is_utf8(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const size_t length = static_cast<unsigned char>(text[i]) < 0x80 ? 1 : utf8_length(text, i);
    if (length == 0) return false;
    i += length;
  }
  return true;
}

uint32_t code_point(std::string_view sequence) {
  const auto lead = static_cast<unsigned char>(sequence[0]);
  if (sequence.size() == 1) return lead;
  uint32_t code = lead & (0xFFu >> (sequence.size() + 1));
  for (const char c : sequence.substr(1))
    code = code << 6 | (static_cast<unsigned char>(c) & 0x3Fu);
  return code;
}

}  // namespace nibble
