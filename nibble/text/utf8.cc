#include "nibble/text/utf8.h"

#include <fmt/format.h>

#include <cstdint>

#include "nibble/core/error.h"

namespace nibble {
namespace {

// A row for each kind of first byte: how many bytes follow and what the first of them may be.
struct LeadRow {
  uint8_t first, last;
  int following;
  uint8_t low, high;
};
constexpr LeadRow kLeads[] = {
    {0x00, 0x7f, 0, 0, 0},       {0xc2, 0xdf, 1, 0x80, 0xbf}, {0xe0, 0xe0, 2, 0xa0, 0xbf},
    {0xe1, 0xec, 2, 0x80, 0xbf}, {0xed, 0xed, 2, 0x80, 0x9f}, {0xee, 0xef, 2, 0x80, 0xbf},
    {0xf0, 0xf0, 3, 0x90, 0xbf}, {0xf1, 0xf3, 3, 0x80, 0xbf}, {0xf4, 0xf4, 3, 0x80, 0x8f}};

const LeadRow* find_lead(uint8_t byte) {
  for (const LeadRow& r : kLeads) {
    if (byte >= r.first && byte <= r.last) return &r;
  }
  return nullptr;
}

[[noreturn]] void refuse(std::string_view text, std::string_view whole) {
  const auto offset = text.data() - whole.data();
  throw corrupt(fmt::format("not UTF-8 (byte 0x{:02x}); nibble reads UTF-8 text only",
                            static_cast<uint8_t>(text.front())))
      .at(fmt::format("offset {}", offset));
}

}  // namespace

char32_t take_code_point(std::string_view& text, std::string_view whole) {
  NIBBLE_CHECK(!text.empty());
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const LeadRow* lead = find_lead(byte(0));
  if (lead == nullptr) refuse(text, whole);
  const auto length = static_cast<size_t>(lead->following) + 1;
  if (text.size() < length) refuse(text, whole);
  if (length > 1 && (byte(1) < lead->low || byte(1) > lead->high)) refuse(text, whole);
  char32_t value = length == 1 ? byte(0) : byte(0) & (0xffu >> (length + 1));
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) refuse(text, whole);
    value = (value << 6) | (byte(i) & 0x3fu);
  }
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
