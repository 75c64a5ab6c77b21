// tokenizer.json as it is written of what a GGUF file says: the same ids, and what cannot be said
// is told or refused.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "nibble/text/byte_level.h"
#include "nibble/text/gguf_pre_tokenizers.h"
#include "nibble/text/gguf_vocabulary.h"
#include "nibble/text/token_type.h"
#include "nibble/text/tokenizer_json.h"
#include "nibble/text/tokenizer_probe.h"
#include "tests/text/tokenizer_trips.h"

namespace nibble {
namespace {

using test::AsFolder;
using test::awkward_texts;
using test::bytes_json;
using test::expect_same;
using test::Ids;
using test::Names;

// What a GGUF file may say of one, into a folder and back.
BpeTokenizer of_vocabulary(const GgufVocabulary& v) {
  Names warnings;
  return BpeTokenizer(parse_gguf_vocabulary(v, warnings));
}

GgufVocabulary sentencepiece_vocabulary() {
  GgufVocabulary v;
  v.model = "llama";
  const auto add = [&](const std::string& text, int32_t type, float score) {
    v.tokens.push_back(text), v.token_types.push_back(type), v.scores.push_back(score);
  };
  add("<unk>", kUnknownToken, 0), add("<s>", kControlToken, 0), add("</s>", kControlToken, 0);
  for (int b = 0; b < 256; ++b) add(fmt::format("<0x{:02X}>", b), kByteToken, 0);
  for (const char* text : {"\u2581", "a", "b", "c"}) add(text, kNormalToken, -100);
  add("ab", kNormalToken, -1), add("\u2581a", kNormalToken, -2), add("abc", kNormalToken, -3);
  add("  ", kUserDefinedToken, -200), add("[PAD266]", kUnusedToken, -300);
  return v;
}

const Names kSmallTexts = {"",      "abc",    " abc ab",        "a  b   c ",   "abab cab",
                           "<s>ab", "a</s>b", "h\u00e9 \u4f60", "[PAD266] ab", "  a"};

TEST(TokenizerFiles, SayWhatAGgufFileSaysOfCharacters) {
  for (int variant = 0; variant < 16; ++variant) {
    GgufVocabulary v = sentencepiece_vocabulary();
    v.add_space_prefix = (variant & 1) != 0;
    v.remove_extra_whitespaces = (variant & 2) != 0;
    v.add_eos = (variant & 4) != 0;
    v.add_bos = (variant & 8) != 0;
    const BpeTokenizer from = of_vocabulary(v);
    const AsFolder made(from);
    EXPECT_TRUE(made.lost.empty());
    for (const std::string& text : kSmallTexts) expect_same(from, *made.tokenizer, text, true);
    EXPECT_EQ(made.tokenizer->edges().before, from.edges().before);
    EXPECT_EQ(made.tokenizer->edges().after, from.edges().after);
  }
}

// "d" stands inside of a token and is none.
TEST(TokenizerFiles, TellOfMergesOfCharactersThatAreNoTokens) {
  GgufVocabulary v = sentencepiece_vocabulary();
  v.tokens.insert(v.tokens.end(), {"ad"});
  v.token_types.push_back(kNormalToken), v.scores.push_back(-4);
  const BpeTokenizer from = of_vocabulary(v);
  const AsFolder made(from);
  ASSERT_EQ(made.lost.size(), 1u);
  EXPECT_EQ(made.lost[0],
            "1 merge of characters that are no tokens cannot be said in tokenizer.json and is left "
            "out");
  EXPECT_EQ(line_of_other_ids(from, *made.tokenizer), "") << "the probe has no such word";
  EXPECT_NE(made.tokenizer->encode("bad", false), from.encode("bad", false));
}

TEST(TokenizerFiles, SayEveryWayOfCuttingThatAGgufFileNames) {
  for (const GgufPreTokenizer& pre : gguf_pre_tokenizers()) {
    if (pre.characters) continue;
    GgufVocabulary v;
    v.model = "gpt2", v.pre = std::string(pre.name);
    for (int b = 0; b < 256; ++b)
      v.tokens.push_back(byte_level_spelling(std::string(1, static_cast<char>(b))));
    for (const char* more : {"ab", "Ġa", "12", "abc"}) v.tokens.emplace_back(more);
    v.merges = {"a b", "Ġ a", "1 2", "ab c"};
    v.token_types.assign(v.tokens.size(), kNormalToken);
    v.tokens.insert(v.tokens.end(), {"<s>", "</s>", "two words"});
    v.token_types.insert(v.token_types.end(), {kControlToken, kControlToken, kUserDefinedToken});
    v.bos = 260, v.eos = 261;
    const BpeTokenizer from = of_vocabulary(v);
    const AsFolder made(from);
    for (const std::string& text : awkward_texts()) expect_same(from, *made.tokenizer, text, true);
    EXPECT_EQ(line_of_other_ids(from, *made.tokenizer), "") << pre.name;
    EXPECT_EQ(made.tokenizer->encode("two words", false), Ids{262});
    const auto plain = nlohmann::json::parse(test::get_file(made.folder / "tokenizer.json"));
    EXPECT_EQ(plain["model"]["ignore_merges"], pre.whole_words) << pre.name;
  }
}

TEST(TokenizerFiles, NameTheSpecialTokensAndTheTemplate) {
  GgufVocabulary v = sentencepiece_vocabulary();
  const AsFolder made(of_vocabulary(v),
                      {.padding = 0, .chat_template = "{{ \"x\" }}\n", .context = 512});
  const auto config = nlohmann::json::parse(test::get_file(made.folder / "tokenizer_config.json"));
  EXPECT_EQ(config["bos_token"], "<s>");
  EXPECT_EQ(config["eos_token"], "</s>");
  EXPECT_EQ(config["unk_token"], "<unk>");
  EXPECT_EQ(config["pad_token"], "<unk>");
  EXPECT_EQ(config["add_bos_token"], true);
  EXPECT_EQ(config["add_eos_token"], false);
  EXPECT_EQ(config["model_max_length"], 512);
  EXPECT_EQ(config["chat_template"], "{{ \"x\" }}\n");
}

TEST(TokenizerFiles, RefuseWhatTheyCannotSay) {
  const auto refuses = [](const std::string& json, std::string_view words) {
    Names lost;
    test::expect_error(ErrorKind::unsupported, words,
                       [&] { tokenizer_json(parse_tokenizer_json(json), lost); });
  };
  refuses(bytes_json(R"({"type":"ByteLevel"})", R"({"type":"Lowercase"})"),
          "the normalizer \"Lowercase\", which tokenizer.json cannot say");
  GgufVocabulary v;
  v.model = "gpt2", v.pre = "qwen2", v.add_space_prefix = true;
  for (int b = 0; b < 256; ++b)
    v.tokens.push_back(byte_level_spelling(std::string(1, static_cast<char>(b))));
  Names lost;
  test::expect_error(ErrorKind::unsupported, "a space before a text", [&] {
    const BpeTokenizer from = of_vocabulary(v);
    tokenizer_json(*from.bpe_parts(), lost);
  });
}

}  // namespace
}  // namespace nibble
