#include "nibble/text/line_data.h"

#include <gtest/gtest.h>

#include "nibble/core/error.h"
#include "nibble/text/char_tokenizer.h"

namespace nibble {
namespace {

using Ids = std::vector<int32_t>;
using Lines = std::vector<std::string>;

TEST(SplitLines, StripsAndDropsBlankOnes) {
  EXPECT_EQ(split_lines("  ann \r\n\n\t\nbob\rc d\x1f"), (Lines{"ann", "bob", "c d"}));
  EXPECT_EQ(split_lines(""), Lines{});
  EXPECT_EQ(split_lines("one"), Lines{"one"});
}

// lines = [f"n{i}" for i in range(20)]; random.Random(42).shuffle(lines)
TEST(LineSequences, UniqueShuffledAndSplit) {
  std::string text;
  for (char c = 'a'; c < 'a' + 20; ++c) text += std::string(1, c) + "\n";
  text += "a\nb\nc\n";  // repeated ones change nothing
  const CharTokenizer t = CharTokenizer::from_text(text, true);
  const SequenceData data = line_sequences(text, t, 16, 42);
  ASSERT_EQ(data.train.size(), 18u);
  ASSERT_EQ(data.heldout.size(), 2u);
  const int order[] = {19, 5, 14, 4, 9, 13, 15, 18, 6, 12, 17, 10, 1, 11, 2, 16, 7, 8, 0, 3};
  for (size_t i = 0; i < 20; ++i) {
    const Ids& ids = i < 18 ? data.train[i] : data.heldout[i - 18];
    EXPECT_EQ(ids, (Ids{20, order[i], 20})) << i;
  }
  EXPECT_EQ(heldout_lines(text, 42), (Lines{"a", "d"}));
}

TEST(LineSequences, LongLinesAreCutToTheContext) {
  const CharTokenizer t = CharTokenizer::from_text("abcdefgh", true);
  const SequenceData data = line_sequences("abcdefgh", t, 4, 42);
  ASSERT_EQ(data.train.size(), 0u);  // floor(0.9)
  ASSERT_EQ(data.heldout.size(), 1u);
  EXPECT_EQ(data.heldout[0], (Ids{8, 0, 1, 2, 3}));
}

TEST(LineSequences, NeedsBos) {
  const CharTokenizer t = CharTokenizer::from_text("ab", false);
  EXPECT_THROW(line_sequences("ab", t, 4, 42), Error);
}

TEST(TextSequences, WindowsOverlapByOne) {
  std::string text(100, 'a');
  for (size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>('a' + i % 26);
  const CharTokenizer t = CharTokenizer::from_text(text, false);
  const SequenceData data = text_sequences(text, t, 4);
  ASSERT_EQ(data.train.size(), 1u);
  EXPECT_EQ(data.train[0].size(), 90u);
  ASSERT_EQ(data.heldout.size(), 3u);  // 10 ids: 5, 5 and the rest of 2
  size_t predicted = 0;
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(data.heldout[i].front(), static_cast<int32_t>((90 + 4 * i) % 26));
    predicted += data.heldout[i].size() - 1;
  }
  EXPECT_EQ(predicted, 9u);
}

TEST(TextSequences, NinetyPercentOfTheCharactersNotOfTheBytes) {
  std::string text;
  for (int i = 0; i < 20; ++i) text += "\u00e9";
  const SequenceData data = text_sequences(text, CharTokenizer::from_text(text, false), 8);
  EXPECT_EQ(data.train[0].size(), 18u);
  ASSERT_EQ(data.heldout.size(), 1u);
  EXPECT_EQ(data.heldout[0].size(), 2u);
}

TEST(LooksLikeLines, TellsNamesFromProse) {
  EXPECT_TRUE(looks_like_lines("ann\nbob\n", 16));
  EXPECT_TRUE(looks_like_lines("ann\r\nbob", 16));
  EXPECT_FALSE(looks_like_lines("ann\n", 16));
  EXPECT_FALSE(looks_like_lines("ann\n\nbob\n", 16));
  EXPECT_FALSE(looks_like_lines("ann\na line that is far too long for a name\n", 16));
  EXPECT_FALSE(looks_like_lines("", 16));
  EXPECT_TRUE(looks_like_lines("\u00e9\u00e9\u00e9\nab\n", 3));
}

}  // namespace
}  // namespace nibble
