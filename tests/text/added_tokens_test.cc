// Added tokens found in texts, against their definition, and what tokenizers makes of the flags.
#include "nibble/text/added_tokens.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>

#include "tests/support/expect_error.h"

namespace nibble {
namespace {

struct Found {
  std::string text;
  int32_t id;
  bool operator==(const Found&) const = default;
};
using All = std::vector<Found>;

All split(const AddedTokens& tokens, std::string_view text) {
  All out;
  tokens.split(text, [&](TextRange range, int32_t id) {
    out.push_back({std::string(text.substr(range.begin, range.size())), id});
  });
  return out;
}

AddedToken token(std::string content, int32_t id) {
  return {.content = std::move(content), .id = id};
}

TEST(AddedTokens, TheLeftmostAndOfThoseTheLongest) {
  const AddedTokens tokens({token("ab", 1), token("abc", 2), token("bcd", 3), token("d", 4)});
  EXPECT_EQ(split(tokens, "xabcdab"), (All{{"x", -1}, {"abc", 2}, {"d", 4}, {"ab", 1}}));
  EXPECT_EQ(split(tokens, "abab"), (All{{"ab", 1}, {"ab", 1}}));
  EXPECT_EQ(split(tokens, ""), All{});
  EXPECT_EQ(split(AddedTokens(), "abc"), (All{{"abc", -1}}));
  EXPECT_TRUE(AddedTokens().empty());
  EXPECT_FALSE(tokens.empty());
}

TEST(AddedTokens, TakeTheSpacesAlongThatTheyAskFor) {
  AddedToken left = token("<l>", 1), right = token("<r>", 2);
  left.lstrip = right.rstrip = true;
  const AddedTokens tokens({left, right});
  EXPECT_EQ(split(tokens, "a \t<l> b <r>\n\u00a0c"),
            (All{{"a", -1}, {" \t<l>", 1}, {" b ", -1}, {"<r>\n\u00a0", 2}, {"c", -1}}));
  // What one took is not there for the next.
  EXPECT_EQ(split(tokens, "<r>  <l>"), (All{{"<r>  ", 2}, {"<l>", 1}}));
}

TEST(AddedTokens, SingleWordsTouchNoLetterOrDigit) {
  AddedToken word = token("tok", 1);
  word.single_word = true;
  const AddedTokens tokens({word});
  EXPECT_EQ(split(tokens, "tok-tok"), (All{{"tok", 1}, {"-", -1}, {"tok", 1}}));
  for (const std::string text : {"toks", "1tok", "tok_", "\u00e9tok", "tok\u4e2d", "e\u0301tok"}) {
    EXPECT_EQ(split(tokens, text), (All{{text, -1}})) << text;
  }
}

TEST(AddedTokens, RefuseContentsThatCannotBe) {
  test::expect_error(ErrorKind::corrupt, "must be 1 to 256", [] { AddedTokens({token("", 1)}); });
  test::expect_error(ErrorKind::corrupt, "257 bytes long",
                     [] { AddedTokens({token(std::string(257, 'a'), 1)}); });
  EXPECT_NO_THROW(AddedTokens({token(std::string(256, 'a'), 1)}));
  test::expect_error(ErrorKind::corrupt, "\"a\" is there twice", [] {
    AddedTokens({token("a", 1), token("b", 2), token("a", 3)});
  });
}

// At each place the longest content that stands there.
All by_definition(const std::vector<AddedToken>& tokens, std::string_view text) {
  All out;
  std::string between;
  for (size_t i = 0; i < text.size();) {
    const AddedToken* best = nullptr;
    for (const AddedToken& t : tokens) {
      if (text.substr(i).starts_with(t.content) &&
          (best == nullptr || t.content.size() > best->content.size()))
        best = &t;
    }
    if (best == nullptr) {
      between += text[i++];
      continue;
    }
    if (!between.empty()) out.push_back({std::exchange(between, {}), -1});
    out.push_back({best->content, best->id});
    i += best->content.size();
  }
  if (!between.empty()) out.push_back({between, -1});
  return out;
}

RC_GTEST_PROP(AddedTokens, AreFoundByTheirDefinition,
              (const std::vector<std::vector<bool>>& contents, const std::vector<bool>& letters)) {
  const auto text_of = [](const std::vector<bool>& bits) {
    std::string text;
    for (const bool b : bits) text += b ? 'a' : 'b';
    return text;
  };
  std::vector<AddedToken> tokens;
  for (const auto& bits : contents) {
    const std::string content = text_of(bits).substr(0, 5);
    const bool there = std::any_of(tokens.begin(), tokens.end(),
                                   [&](const AddedToken& t) { return t.content == content; });
    if (content.empty() || there) continue;
    tokens.push_back(token(content, static_cast<int32_t>(tokens.size())));
  }
  const std::string text = text_of(letters);
  RC_ASSERT(split(AddedTokens(tokens), text) == by_definition(tokens, text));
}

// A vocabulary of many tokens costs a text no more than their length.
TEST(AddedTokens, ManyOfThemTakeLinearTime) {
  std::vector<AddedToken> tokens;
  for (int32_t i = 0; i < 20'000; ++i) tokens.push_back(token("<a" + std::to_string(i) + ">", i));
  const AddedTokens all(std::move(tokens));
  std::string text;
  for (int i = 0; i < 100'000; ++i) text += "<a";
  text += "<a19999>";
  const All found = split(all, text);
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[1], (Found{"<a19999>", 19'999}));
}

}  // namespace
}  // namespace nibble
