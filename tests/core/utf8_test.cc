// UTF-8 against RFC 3629: every code point, and every short string of bytes.
#include "nibble/core/utf8.h"

#include <gtest/gtest.h>

#include <string>

namespace nibble {
namespace {

// The encoding by its definition (RFC 3629, section 3).
std::string encode(uint32_t c) {
  const auto tail = [](uint32_t bits) { return static_cast<char>(0x80 | (bits & 0x3F)); };
  if (c < 0x80) return {static_cast<char>(c)};
  if (c < 0x800) return {static_cast<char>(0xC0 | c >> 6), tail(c)};
  if (c < 0x10000) return {static_cast<char>(0xE0 | c >> 12), tail(c >> 6), tail(c)};
  return {static_cast<char>(0xF0 | c >> 18), tail(c >> 12), tail(c >> 6), tail(c)};
}

bool is_surrogate(uint32_t c) { return c >= 0xD800 && c <= 0xDFFF; }

TEST(Utf8, EveryCodePointComesBack) {
  int64_t wrong = 0;
  for (uint32_t c = 0; c <= 0x10FFFF; ++c) {
    const std::string text = encode(c);
    const size_t length = utf8_length(text, 0);
    if (is_surrogate(c))
      wrong += length != 0 ? 1 : 0;
    else
      wrong += length != text.size() || code_point(text) != c ? 1 : 0;
  }
  EXPECT_EQ(wrong, 0);
}

TEST(Utf8, NothingAboveTheLastCodePoint) {
  for (const uint32_t c : {0x110000u, 0x13FFFFu, 0x1FFFFFu})
    EXPECT_EQ(utf8_length(encode(c), 0), 0u);
  EXPECT_EQ(utf8_length("\xF8\x88\x80\x80\x80", 0), 0u);
  EXPECT_EQ(utf8_length("\xFF", 0), 0u);
}

// Two bytes are valid only as what encode() makes of some code point.
TEST(Utf8, EveryPairOfBytes) {
  std::string valid(0x10000, '\0');
  for (uint32_t c = 0x80; c < 0x800; ++c) {
    const std::string text = encode(c);
    valid[static_cast<size_t>(static_cast<unsigned char>(text[0]) << 8 |
                              static_cast<unsigned char>(text[1]))] = 1;
  }
  for (uint32_t pair = 0; pair < 0x10000; ++pair) {
    const std::string text = {static_cast<char>(pair >> 8), static_cast<char>(pair & 0xFF)};
    const size_t expected = pair >> 8 < 0x80 ? 1 : valid[pair] != 0 ? 2 : 0;
    ASSERT_EQ(utf8_length(text, 0), expected) << pair;
  }
}

TEST(Utf8, OverlongFormsAreRefused) {
  // The same letter in two, three and four bytes; a slash that hides itself.
  for (const char* text : {"\xC0\x80", "\xC1\xBF", "\xC0\xAF", "\xE0\x80\xAF", "\xE0\x9F\xBF",
                           "\xF0\x80\x80\xAF", "\xF0\x8F\xBF\xBF"})
    EXPECT_EQ(utf8_length(text, 0), 0u) << text;
}

TEST(Utf8, CutSequencesAreRefusedWhereverTheyEnd) {
  for (const uint32_t c : {0xE9u, 0x20ACu, 0x1F600u}) {
    const std::string whole = encode(c);
    for (size_t n = 1; n < whole.size(); ++n) {
      EXPECT_EQ(utf8_length(whole.substr(0, n), 0), 0u);
      EXPECT_EQ(utf8_length(whole.substr(0, n) + "a", 0), 0u);
      EXPECT_EQ(utf8_length(whole, n), 0u);  // a tail is no beginning
    }
    EXPECT_EQ(utf8_length("a" + whole + "b", 1), whole.size());
  }
  EXPECT_EQ(utf8_length("", 0), 0u);
  EXPECT_EQ(utf8_length("abc", 3), 0u);
}

}  // namespace
}  // namespace nibble
