// What becomes of characters and bytes that a vocabulary lacks, and of texts in parts.
#include <gtest/gtest.h>

#include "nibble/text/char_tokenizer.h"
#include "tests/support/expect_error.h"
#include "tests/text/tokenizer_json.h"

namespace nibble {
namespace {

using Ids = std::vector<int32_t>;

const std::string kBytes = R"({"type":"ByteLevel","add_prefix_space":false})";

Ids byte_level(const std::string& model, std::string_view text) {
  return test::TokenizerJsonText{.model = model, .pre = kBytes, .decoder = kBytes}.load().encode(
      text, false);
}

// As BPE of Hugging Face's tokenizers: one for each byte, or one for those that follow each other.
TEST(UnknownCharacters, BytesBecomeUnknownOnes) {
  const std::string unknown = R"("unk_token":"<unk>")";
  EXPECT_EQ(byte_level(unknown, "aczb"), (Ids{0, 3, 3, 1}));
  EXPECT_EQ(byte_level(unknown, "é"), (Ids{3, 3})) << "two bytes";
  EXPECT_EQ(byte_level(unknown + R"(,"fuse_unk":true)", "aczbab"), (Ids{0, 3, 1, 2}));
  EXPECT_EQ(byte_level(unknown + R"(,"fuse_unk":true)", "cazb"), (Ids{3, 0, 3, 1}));
  EXPECT_EQ(byte_level(R"("unk_token":null)", "aczb"), (Ids{2})) << "lost where there is none";
}

TEST(UnknownCharacters, CharactersBecomeOneEach) {
  const auto encoded = [](const std::string& model, std::string_view text) {
    return test::TokenizerJsonText{.model = model}.load().encode(text, false);
  };
  const std::string unknown = R"("unk_token":"<unk>")";
  EXPECT_EQ(encoded(unknown, "aéb"), (Ids{0, 3, 1}));
  EXPECT_EQ(encoded(unknown, "éx"), (Ids{3, 3}));
  EXPECT_EQ(encoded(unknown + R"(,"fuse_unk":true)", "éxab"), (Ids{3, 2}));
  EXPECT_EQ(encoded(R"("unk_token":null)", "éab"), (Ids{2}));
}

TEST(CharTokenizerParts, TokensStandWhereTheyAreAndTextBetween) {
  const CharTokenizer names = CharTokenizer::from_text("ab", true),
                      text = CharTokenizer::from_text("ab", false);
  EXPECT_EQ(names.edges().before, (Ids{2}));
  EXPECT_TRUE(names.edges().after.empty());
  EXPECT_TRUE(text.edges().before.empty());
  const std::vector<TextPart> parts = {{"", false, 2}, {"ab", true, -1}, {"", false, 0}};
  EXPECT_EQ(names.encode_parts(parts), (Ids{2, 0, 1, 0}));
  EXPECT_EQ(names.encode("ba", true), (Ids{2, 1, 0}));
  EXPECT_EQ(text.encode("ba", true), (Ids{1, 0}));
}

TEST(CharTokenizerParts, TokensHaveTheirTexts) {
  const CharTokenizer t = CharTokenizer::from_text("é\x01z", true);
  EXPECT_EQ(t.token_text(2), "é");
  EXPECT_EQ(t.token_text(3), "<BOS>");
  for (const int32_t id : {-1, 4, 1 << 30})
    test::expect_error(ErrorKind::invalid_argument, "is outside the vocabulary of 4",
                       [&] { t.token_text(id); });
}

}  // namespace
}  // namespace nibble
