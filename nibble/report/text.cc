#include "nibble/report/text.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>

#include "nibble/core/error.h"

namespace nibble {
namespace {

struct Range {
  uint32_t first, last;
};
/// Blocks that combine with what stands before them, or show nothing.
constexpr std::array kZeroWidth = {
    Range{0x0300, 0x036F},  Range{0x0483, 0x0489}, Range{0x0591, 0x05BD}, Range{0x0610, 0x061A},
    Range{0x064B, 0x065F},  Range{0x0900, 0x0902}, Range{0x093A, 0x093A}, Range{0x093C, 0x093C},
    Range{0x0941, 0x0948},  Range{0x094D, 0x094D}, Range{0x1AB0, 0x1AFF}, Range{0x1DC0, 0x1DFF},
    Range{0x200B, 0x200D},  Range{0x20D0, 0x20FF}, Range{0xFE00, 0xFE0F}, Range{0xFE20, 0xFE2F},
    Range{0xE0100, 0xE01EF}};
/// Blocks of East Asian wide and full-width characters and of emoji.
constexpr std::array kWide = {
    Range{0x1100, 0x115F},   Range{0x2E80, 0x303E},   Range{0x3041, 0xA4CF},
    Range{0xA960, 0xA97F},   Range{0xAC00, 0xD7A3},   Range{0xF900, 0xFAFF},
    Range{0xFE30, 0xFE6F},   Range{0xFF00, 0xFF60},   Range{0xFFE0, 0xFFE6},
    Range{0x1F300, 0x1F64F}, Range{0x1F680, 0x1F6FF}, Range{0x1F900, 0x1FAFF},
    Range{0x20000, 0x3FFFD}};
template <size_t N>
bool in(const std::array<Range, N>& ranges, uint32_t c) {
  return std::any_of(ranges.begin(), ranges.end(),
                     [c](const Range& r) { return c >= r.first && c <= r.last; });
}

struct Character {
  uint32_t code;
  size_t bytes;
};
/// The character at `at` of valid UTF-8; a stray byte stands for itself.
Character character_at(std::string_view text, size_t at) {
  const auto lead = static_cast<unsigned char>(text[at]);
  const size_t bytes = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC0 ? 2 : 1;
  if (bytes == 1 || at + bytes > text.size()) return {lead, 1};
  uint32_t code = lead & (0xFFu >> (bytes + 1));
  for (size_t i = 1; i < bytes; ++i) {
    code = code << 6 | (static_cast<unsigned char>(text[at + i]) & 0x3Fu);
  }
  return {code, bytes};
}

int64_t width_of(uint32_t code) {
  if (code < 0x300) return 1;
  return in(kZeroWidth, code) ? 0 : in(kWide, code) ? 2 : 1;
}

}  // namespace

std::string display_text(std::string_view text) {
  return printable(text, std::numeric_limits<size_t>::max());
}

int64_t display_width(std::string_view text) {
  int64_t width = 0;
  for (size_t i = 0; i < text.size();) {
    const Character c = character_at(text, i);
    width += width_of(c.code);
    i += c.bytes;
  }
  return width;
}

std::string cut_to_width(std::string_view text, int64_t width) {
  if (display_width(text) <= width) return std::string(text);
  if (width <= 0) return "";
  int64_t used = 0;
  size_t end = 0;
  while (end < text.size()) {
    const Character c = character_at(text, end);
    if (used + width_of(c.code) > width - 1) break;
    used += width_of(c.code);
    end += c.bytes;
  }
  return std::string(text.substr(0, end)) + "~";
}

std::string wrap_to_width(std::string_view text, int64_t width) {
  std::string out, line;
  while (!text.empty()) {
    const std::string_view word = text.substr(0, text.find(' '));
    text.remove_prefix(std::min(word.size() + 1, text.size()));
    if (!line.empty() && display_width(line) + 1 + display_width(word) > width) {
      out += line + "\n";
      line.clear();
    }
    line += (line.empty() ? "" : " ") + cut_to_width(word, width);
  }
  return line.empty() ? out : out + line + "\n";
}

size_t common_prefix(std::string_view a, std::string_view b) {
  size_t same = 0;
  while (same < a.size() && same < b.size() && a[same] == b[same]) ++same;
  const auto inside = [&](std::string_view s) {
    return same < s.size() && (static_cast<unsigned char>(s[same]) & 0xC0) == 0x80;
  };
  while (same > 0 && (inside(a) || inside(b))) --same;
  return same;
}

}  // namespace nibble
