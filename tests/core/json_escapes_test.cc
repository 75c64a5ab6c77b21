// What stands behind a backslash in a JSON string, and what may not.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "nibble/core/json.h"
#include "tests/support/expect_error.h"

namespace nibble {
namespace {

// The only string of a document.
std::string string_of(std::string_view escaped) {
  class Text : public JsonHandler {
   public:
    std::string text;
    void on_string(std::string_view v) override { text = v; }
  } handler;
  parse_json("[\"" + std::string(escaped) + "\"]", handler);
  return handler.text;
}

void refused_escape(std::string_view escaped, std::string_view words) {
  test::expect_error(ErrorKind::corrupt, words, [&] { string_of(escaped); });
}

TEST(JsonEscapes, LettersStandForWhatRfc8259Says) {
  EXPECT_EQ(string_of(R"(\"\\\/\b\f\n\r\t)"), "\"\\/\b\f\n\r\t");
  EXPECT_EQ(string_of(R"(a\nb\\nc)"), "a\nb\\nc");
  for (const char* bad : {R"(\x41)", R"(\')", R"(\a)", R"(\0)", R"(\U0041)", "\\\n"})
    refused_escape(bad, "an escape");
}

TEST(JsonEscapes, CodePointsOfEveryLength) {
  EXPECT_EQ(string_of(R"(\u0000)"), std::string(1, '\0'));
  EXPECT_EQ(string_of(R"(\u0041\u007F)"), "A\x7F");
  EXPECT_EQ(string_of(R"(\u0080\u00e9\u07fF)"), "\u0080\u00e9\u07ff");
  EXPECT_EQ(string_of(R"(\u0800\u20AC\uffff)"), "\u0800\u20ac\uffff");
  EXPECT_EQ(string_of(R"(\ud7ff\ue000)"), "\ud7ff\ue000") << "beside the surrogates";
}

TEST(JsonEscapes, PairsOfSurrogatesAreOneCharacter) {
  EXPECT_EQ(string_of(R"(\ud83d\ude00)"), "\U0001F600");
  EXPECT_EQ(string_of(R"(\ud800\udc00)"), "\U00010000");
  EXPECT_EQ(string_of(R"(\uDBFF\uDFFF)"), "\U0010FFFF");
  EXPECT_EQ(string_of(R"(x\ud83d\ude00y)"), "x\U0001F600y");
}

TEST(JsonEscapes, SurrogatesAloneAreRefused) {
  for (const char* bad : {R"(\ud83d)", R"(\ude00)", R"(\ud83dx)", R"(\ud83d\n)", R"(\ud83d\u0041)",
                          R"(\ud83d\ud83d)", R"(\ude00\ud83d)", R"(\udbff\ue000)"})
    refused_escape(bad, "a lone surrogate in an escape");
}

TEST(JsonEscapes, DigitsAreFourAndHexadecimal) {
  for (const char* bad : {R"(\u)", R"(\u1)", R"(\u12)", R"(\u123)", R"(\u12g4)", R"(\u+123)",
                          R"(\u 123)", R"(\ud83d\u12)"})
    refused_escape(bad, "four hexadecimal digits");
  // What stands beside the digits and letters in ASCII.
  for (const char beside : {'/', ':', '@', 'G', '`', 'g'})
    refused_escape("\\u000" + std::string(1, beside), "four hexadecimal digits");
}

std::string encoded(char32_t c) {
  const auto byte = [](char32_t b) { return static_cast<char>(b); };
  const auto low = [&](int shift) { return byte(0x80 | (c >> shift & 0x3F)); };
  if (c < 0x80) return {byte(c)};
  if (c < 0x800) return {byte(0xC0 | c >> 6), low(0)};
  if (c < 0x10000) return {byte(0xE0 | c >> 12), low(6), low(0)};
  return {byte(0xF0 | c >> 18), low(12), low(6), low(0)};
}

// Every code point, escaped as another program escapes it.
TEST(JsonEscapes, EveryCodePointComesBack) {
  for (char32_t c = 0; c <= 0x10FFFF; c += c < 0x3000 ? 1 : 97) {
    if (c >= 0xD800 && c < 0xE000) continue;
    const std::string text = encoded(c);
    const std::string escaped = nlohmann::json(text).dump(-1, ' ', true);
    ASSERT_EQ(string_of(std::string_view(escaped).substr(1, escaped.size() - 2)), text)
        << static_cast<uint32_t>(c);
  }
}

}  // namespace
}  // namespace nibble
