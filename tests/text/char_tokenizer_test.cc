#include "nibble/text/char_tokenizer.h"

#include <gtest/gtest.h>

#include <functional>

#include "nibble/core/error.h"

namespace nibble {
namespace {

using Ids = std::vector<int32_t>;

ErrorKind kind_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& e) {
    return e.kind();
  }
  ADD_FAILURE() << "no Error";
  return ErrorKind::io;
}

TEST(CharTokenizer, LineData) {
  const CharTokenizer t = CharTokenizer::from_text("bob\r\n eva\t\n\n", true);
  EXPECT_EQ(t.vocab_size(), 6);  // a b e o v, BOS
  EXPECT_EQ(t.bos(), 5);
  EXPECT_EQ(t.encode("above"), (Ids{0, 1, 3, 4, 2}));
  EXPECT_EQ(t.decode(Ids{5, 0, 1, 3, 4, 2, 5}), "above");
}

TEST(CharTokenizer, RunningTextKeepsLineBreaks) {
  const CharTokenizer t = CharTokenizer::from_text("b a\nb", false);
  EXPECT_EQ(t.vocab_size(), 4);
  EXPECT_FALSE(t.bos().has_value());
  EXPECT_EQ(t.encode("a\nb "), (Ids{2, 0, 3, 1}));
}

TEST(CharTokenizer, CodePointsOfEveryLength) {
  const std::string text = "z\u00e9\u20ac\U0001F600\u07ff\uffff\U0010FFFF";
  const CharTokenizer t = CharTokenizer::from_text(text, false);
  EXPECT_EQ(t.vocab_size(), 7);
  EXPECT_EQ(t.decode(t.encode(text)), text);
  EXPECT_EQ(t.encode("z\u00e9"), (Ids{0, 1}));
}

TEST(CharTokenizer, RefusesWhatIsNotUtf8) {
  const std::string bad[] = {"\xff",
                             "a\x80",
                             "\xc0\xaf",
                             "\xc1\xbf",
                             "\xe0\x9f\xbf",
                             "\xed\xa0\x80",
                             "\xf0\x8f\xbf\xbf",
                             "\xf4\x90\x80\x80",
                             "\xe2\x82",
                             "\xf5\x80\x80\x80",
                             "\xc3("};
  for (const std::string& text : bad) {
    EXPECT_EQ(kind_of([&] { CharTokenizer::from_text(text, false); }), ErrorKind::corrupt);
  }
}

TEST(CharTokenizer, NamesTheByteThatIsNotUtf8) {
  try {
    CharTokenizer::from_text("abc\xff", false);
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.where(), "offset 3");
  }
}

TEST(CharTokenizer, NamesAnUnknownCharacter) {
  const CharTokenizer t = CharTokenizer::from_text("ab", true);
  try {
    t.encode("ab\u00e9");
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::invalid_argument);
    EXPECT_NE(std::string(e.what()).find("U+00E9"), std::string::npos);
  }
  EXPECT_EQ(t.decode(Ids{0, 3, 1}), "ab");  // a model may have more rows than there are characters
  EXPECT_EQ(kind_of([&] { t.decode(Ids{-1}); }), ErrorKind::invalid_argument);
}

TEST(CharTokenizer, JsonRoundTrip) {
  for (bool with_bos : {false, true}) {
    const CharTokenizer t = CharTokenizer::from_text("q\"\\u\u00e9\U0001F600 \t", with_bos);
    const CharTokenizer again = CharTokenizer::from_json(t.to_json());
    EXPECT_EQ(again.vocab_size(), t.vocab_size());
    EXPECT_EQ(again.bos(), t.bos());
    EXPECT_EQ(again.encode("q\"\\\u00e9"), t.encode("q\"\\\u00e9"));
  }
}

TEST(CharTokenizer, JsonRefusesWhatIsNotATokenizer) {
  const std::pair<const char*, ErrorKind> bad[] = {
      {R"({"type": "BPE", "bos": true, "characters": ["a"]})", ErrorKind::unsupported},
      {R"({"bos": true, "characters": ["a"]})", ErrorKind::corrupt},
      {R"({"type": "nibble.characters", "characters": ["a"]})", ErrorKind::corrupt},
      {R"({"type": "nibble.characters", "bos": true, "characters": []})", ErrorKind::corrupt},
      {R"({"type": "nibble.characters", "bos": true, "characters": ["ab"]})", ErrorKind::corrupt},
      {R"({"type": "nibble.characters", "bos": true, "characters": [""]})", ErrorKind::corrupt},
      {R"({"type": "nibble.characters", "bos": true, "characters": ["b", "a"]})",
       ErrorKind::corrupt},
      {R"({"type": "nibble.characters", "bos": true, "characters": ["a", "a"]})",
       ErrorKind::corrupt},
      {R"({"type": "nibble.characters", "bos": true, "characters": [1]})", ErrorKind::corrupt},
      {"[]", ErrorKind::corrupt},
      {"", ErrorKind::corrupt}};
  for (const auto& [json, kind] : bad) {
    EXPECT_EQ(kind_of([&] { CharTokenizer::from_json(json); }), kind) << json;
  }
}

}  // namespace
}  // namespace nibble
