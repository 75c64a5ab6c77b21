// A tokenizer as GGUF metadata and back makes the same ids.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "nibble/text/byte_level.h"
#include "nibble/text/char_tokenizer.h"
#include "nibble/text/gguf_pre_tokenizers.h"
#include "nibble/text/gguf_vocabulary.h"
#include "nibble/text/load.h"
#include "nibble/text/token_type.h"
#include "nibble/text/tokenizer_json.h"
#include "nibble/text/tokenizer_probe.h"
#include "tests/support/shared.h"
#include "tests/support/temp_folder.h"
#include "tests/text/tokenizer_json.h"
#include "tests/text/tokenizer_trips.h"

namespace nibble {
namespace {

using test::AsFolder;
using test::awkward_texts;
using test::bytes_json;
using test::expect_same;
using test::expect_same_tokens;
using test::Ids;
using test::kSharedData;
using test::Names;
using test::RoundTrip;

class GgufRoundTrip : public testing::TestWithParam<const char*> {};

TEST_P(GgufRoundTrip, SameIdsOfAllTexts) {
  const std::string folder = kSharedData + GetParam();
  if (test::lacks_shared(folder)) GTEST_SKIP() << folder;
  const auto from = load_tokenizer(folder);
  const RoundTrip trip(*from);
  expect_same_tokens(*from, trip.to);
  EXPECT_EQ(trip.to.vocab_size(), from->vocab_size() + 7);
  // tokenizer.model alone does not have its special tokens found in texts.
  const bool special = !std::string_view(GetParam()).ends_with("llama2");
  for (const std::string& text : awkward_texts()) expect_same(*from, trip.to, text, special);
  for (const auto& file : std::filesystem::directory_iterator(kSharedData + "text")) {
    if (file.path().extension() != ".txt") continue;
    expect_same(*from, trip.to, test::get_file(file.path()).substr(0, 200'000), special);
  }
  // And once more: nothing is lost on the way.
  const RoundTrip again(trip.to, 0);
  EXPECT_EQ(again.metadata.tokens, trip.metadata.tokens);
  EXPECT_EQ(again.metadata.token_types, trip.metadata.token_types);
  EXPECT_EQ(again.metadata.merges, trip.metadata.merges);
  EXPECT_EQ(again.metadata.pre, trip.metadata.pre);
  EXPECT_TRUE(again.lost.empty());
}

// From the metadata into the files of a folder.
TEST_P(GgufRoundTrip, SameIdsFromAFolderMadeOfIt) {
  const std::string folder = kSharedData + GetParam();
  if (test::lacks_shared(folder)) GTEST_SKIP() << folder;
  const RoundTrip trip(*load_tokenizer(folder));
  const AsFolder made(trip.to);
  EXPECT_TRUE(made.lost.empty()) << made.lost[0];
  expect_same_tokens(trip.to, *made.tokenizer, false);  // ends stand in generation_config.json
  EXPECT_EQ(made.tokenizer->eos(), trip.to.eos());
  for (const std::string& text : awkward_texts()) expect_same(trip.to, *made.tokenizer, text, true);
  for (const auto& file : std::filesystem::directory_iterator(kSharedData + "text")) {
    if (file.path().extension() != ".txt") continue;
    expect_same(trip.to, *made.tokenizer, test::get_file(file.path()).substr(0, 200'000), true);
  }
}

INSTANTIATE_TEST_SUITE_P(Tokenizers, GgufRoundTrip,
                         testing::Values("tokenizers/gpt2", "tokenizers/qwen2", "tokenizers/llama2",
                                         "models/stories260k", "models/gpt2-shakespeare",
                                         "models/llama-shakespeare", "archs/cohere", "archs/gemma2",
                                         "archs/glm4", "archs/gpt_oss", "archs/mixtral",
                                         "archs/phi3", "archs/qwen3_5", "archs/starcoder2"),
                         [](const auto& test) {
                           std::string name = test.param;
                           for (char& c : name) c = std::isalnum(c) != 0 ? c : '_';
                           return name;
                         });

TEST(GgufMetadata, NamesThePreTokenizer) {
  const auto pre_of = [](const char* name) {
    const std::string folder = kSharedData + "tokenizers/" + name;
    if (test::lacks_shared(folder)) return std::string("absent");
    return RoundTrip(*load_tokenizer(folder)).metadata.pre;
  };
  if (pre_of("gpt2") == "absent") GTEST_SKIP() << kSharedData;
  EXPECT_EQ(pre_of("gpt2"), "gpt-2");
  EXPECT_EQ(pre_of("qwen2"), "deepseek-r1-qwen");  // the file here is without NFC
  EXPECT_EQ(pre_of("llama2"), "default");
}

std::string split_json(const std::string& pattern, const std::string& more = "") {
  const nlohmann::json text = pattern;
  return R"({"type":"Sequence","pretokenizers":[)" + more +
         R"({"type":"Split","behavior":"Isolated","pattern":{"Regex":)" + text.dump() +
         R"(}},{"type":"ByteLevel","use_regex":false,"add_prefix_space":false}]})";
}

GgufVocabulary written(const std::string& json, Names& lost) {
  const BpeTokenizer from(parse_tokenizer_json(json));
  return gguf_vocabulary(from, from.vocab_size(), lost);
}

std::string pre_of(const std::string& json) {
  Names lost;
  return written(json, lost).pre;
}

void cannot_write(const std::string& json, std::string_view words) {
  test::expect_error(ErrorKind::unsupported, words, [&] { pre_of(json); });
}

const std::string kWholeWordsJson = R"("ignore_merges":true)";
const std::string kNfcJson = R"({"type":"NFC"})";
const std::string kLlama3Text =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*)"
    R"(|\s*[\r\n]+|\s+(?!\S)|\s+)";

TEST(GgufMetadata, KnowsPreTokenizersByTheirPatterns) {
  const std::string gpt2 = R"({"type":"ByteLevel","add_prefix_space":false})";
  EXPECT_EQ(pre_of(bytes_json(gpt2)), "gpt-2");
  EXPECT_EQ(pre_of(bytes_json(gpt2, kNfcJson)), "mpt");
  const std::string digits = R"({"type":"Sequence","pretokenizers":[)"
                             R"({"type":"Digits","individual_digits":true},)" +
                             gpt2 + "]}";
  EXPECT_EQ(pre_of(bytes_json(digits)), "starcoder");
  EXPECT_EQ(pre_of(bytes_json(digits, kNfcJson)), "command-r");
  EXPECT_EQ(pre_of(bytes_json(split_json(kLlama3Text), "null", kWholeWordsJson)), "llama-bpe");
  EXPECT_EQ(pre_of(bytes_json(split_json(kLlama3Text))), "dbrx");
  EXPECT_EQ(pre_of(bytes_json(split_json(std::string(kQwen2Pattern)), kNfcJson)), "qwen2");
  // Another spelling of what matches the same.
  EXPECT_EQ(pre_of(bytes_json(split_json(
                R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++)"
                R"([\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+)"))),
            "dbrx");
}

TEST(GgufMetadata, RefusesByNameWhatCannotBeSaid) {
  const std::string gpt2 = R"({"type":"ByteLevel","add_prefix_space":false})";
  cannot_write(bytes_json(split_json(R"(\p{L}+)")), "a way to cut words without a name");
  cannot_write(bytes_json(gpt2, "null", kWholeWordsJson), "words that are tokens stay whole");
  cannot_write(bytes_json(gpt2, R"({"type":"Lowercase"})"), "the normalizer \"Lowercase\"");
  cannot_write(bytes_json(gpt2, "null", R"("unk_token":"a")"), "become unknown");
  // Characters: without bytes, without marks, cut into words.
  cannot_write(test::TokenizerJsonText{}.text(), "marks for spaces");
  const std::string marks = R"({"type":"Replace","pattern":{"String":" "},"content":"\u2581"})";
  const std::string decoder =
      R"({"type":"Sequence","decoders":[{"type":"Replace","pattern":{"String":"\u2581"},)"
      R"("content":" "},{"type":"ByteFallback"},{"type":"Fuse"}]})";
  cannot_write(test::TokenizerJsonText{.normalizer = marks, .decoder = decoder}.text(),
               "without tokens for their bytes");
  cannot_write(test::TokenizerJsonText{.normalizer = marks}.text(), "a decoder");
  cannot_write(test::TokenizerJsonText{.normalizer = marks,
                                       .pre = R"({"type":"Digits","individual_digits":true})"}
                   .text(),
               "other steps than marks");
  const CharTokenizer characters = CharTokenizer::from_text("abc", false);
  Names lost;
  test::expect_error(ErrorKind::unsupported, "characters",
                     [&] { gguf_vocabulary(characters, 10, lost); });
}

TEST(GgufMetadata, SaysWhatIsLost) {
  const std::string gpt2 = R"({"type":"ByteLevel","add_prefix_space":false})";
  Names lost;
  written(bytes_json(R"({"type":"ByteLevel","add_prefix_space":true})"), lost);
  ASSERT_EQ(lost.size(), 1u);
  EXPECT_NE(lost[0].find("a space before a text"), std::string::npos);
  lost.clear();
  const std::string added = R"([{"id":27,"content":"<x>","rstrip":true,"special":true},)"
                            R"({"id":28,"content":"<y>","special":true}])";
  const std::string post = R"({"type":"TemplateProcessing","single":[)"
                           R"({"SpecialToken":{"id":"<x>"}},{"SpecialToken":{"id":"<y>"}},)"
                           R"({"Sequence":{"id":"A"}}],"special_tokens":{)"
                           R"("<x>":{"ids":[27]},"<y>":{"ids":[28]}}})";
  const GgufVocabulary v =
      written(bytes_json(gpt2, "null", R"("ignore_merges":false)", added, post), lost);
  ASSERT_EQ(lost.size(), 2u);
  EXPECT_NE(lost[0].find("\"<x>\" minds the characters beside it"), std::string::npos);
  EXPECT_NE(lost[1].find("puts \"<x>\" before a text"), std::string::npos);
  EXPECT_EQ(v.add_bos, false);
  EXPECT_EQ(v.token_types[27], kControlToken);
}

TEST(GgufMetadata, FillsUpOrLeavesOutRows) {
  const std::string json =
      bytes_json(R"({"type":"ByteLevel","add_prefix_space":false})", "null",
                 R"("ignore_merges":false)", R"([{"id":27,"content":"[PAD29]"}])");
  const BpeTokenizer from(parse_tokenizer_json(json));
  Names lost;
  const GgufVocabulary more = gguf_vocabulary(from, 31, lost);
  EXPECT_TRUE(lost.empty());
  ASSERT_EQ(more.tokens.size(), 31u);
  EXPECT_EQ(more.tokens[28], "[PAD28]");
  EXPECT_EQ(more.tokens[29], "[PAD29]_");
  EXPECT_EQ(more.token_types[30], kUnusedToken);
  EXPECT_EQ(gguf_vocabulary(from, 27, lost).tokens.size(), 27u);
  ASSERT_EQ(lost.size(), 1u);
  EXPECT_NE(lost[0].find("1 tokens have no row"), std::string::npos);
  test::expect_error(ErrorKind::corrupt, "makes token 26",
                     [&] { gguf_vocabulary(from, 26, lost); });
  for (const int64_t rows : {int64_t{0}, int64_t{-1}, int64_t{1} << 40}) {
    test::expect_error(ErrorKind::invalid_argument, "rows of an embedding",
                       [&] { gguf_vocabulary(from, rows, lost); });
  }
}

// SentencePiece-like tokenizer.json with the given merges, of "a", "b", "c", "ab", "bc", "abc".
std::string characters_json(const std::string& merges, const std::string& post = "null",
                            const std::string& prepend = "") {
  test::TokenizerJsonText file;
  file.vocab = R"({"<unk>":0,"<s>":1,"\u2581":2,"a":3,"b":4,"c":5,"ab":6,"bc":7,"abc":8)";
  for (int b = 0; b < 256; ++b) file.vocab += fmt::format(",\"<0x{:02X}>\":{}", b, 9 + b);
  file.vocab += "}";
  file.merges = merges, file.post = post;
  file.model = R"("unk_token":"<unk>","byte_fallback":true,"fuse_unk":true)";
  file.normalizer = R"({"type":"Sequence","normalizers":[)" + prepend +
                    R"({"type":"Replace","pattern":{"String":" "},"content":"\u2581"}]})";
  file.decoder = R"({"type":"Sequence","decoders":[{"type":"Replace","pattern":)"
                 R"({"String":"\u2581"},"content":" "},{"type":"ByteFallback"},{"type":"Fuse"}]})";
  file.added = R"([{"id":0,"content":"<unk>","special":true},)"
               R"({"id":1,"content":"<s>","special":true}])";
  return file.text();
}

TEST(GgufMetadata, MergesBecomeScores) {
  for (const char* merges : {R"(["b c","a b","ab c","a bc"])", R"(["a b","b c","ab c","a bc"])"}) {
    const BpeTokenizer from(parse_tokenizer_json(characters_json(merges)));
    const RoundTrip trip(from, 0);
    EXPECT_EQ(trip.metadata.model, "llama");
    EXPECT_EQ(trip.metadata.add_space_prefix, false);
    for (const char* text : {"abc", "ab bc", "bcabcab", "a\u00e9 "}) {
      EXPECT_EQ(trip.to.encode(text, false), from.encode(text, false)) << text;
    }
  }
}

TEST(GgufMetadata, MergesThatScoresCannotOrderStayMerges) {
  // "abc" is a token and yet "a" and "bc" do not merge to it.
  const std::string merges = R"(["a b","b c","ab c"])";
  cannot_write(characters_json(merges), "an order that scores of tokens cannot give");
  const std::string post = R"({"type":"TemplateProcessing","single":[)"
                           R"({"SpecialToken":{"id":"<s>"}},{"Sequence":{"id":"A"}}],)"
                           R"("special_tokens":{"<s>":{"ids":[1]}}})";
  BpeParts parts = parse_tokenizer_json(characters_json(merges, post));
  parts.bos = 1;
  const BpeTokenizer from(std::move(parts));
  const RoundTrip trip(from, 0);
  EXPECT_EQ(trip.metadata.model, "gemma4");
  for (const char* text : {"abc", "ab bc", "bcabcab", "a\n\n "}) {
    EXPECT_EQ(trip.to.encode(text, true), from.encode(text, true)) << text;
  }
  cannot_write(characters_json(merges, post, R"({"type":"Prepend","prepend":"\u2581"},)"),
               "an order that scores of tokens cannot give");
}

// Found by the fuzzer: "d" stands in tokens and is none, so that merges are not of tokens alone.
TEST(GgufMetadata, MergesOfCharactersThatAreNoTokensAreNotWrittenAsMerges) {
  BpeParts parts = parse_tokenizer_json(characters_json(R"(["a b"])"));
  parts.tokens.add("dd", parts.tokens.size());
  std::vector<bool> mergeable(static_cast<size_t>(parts.tokens.size()));
  for (const char* text : {"a", "b", "ab", "dd"}) {
    mergeable[static_cast<size_t>(parts.tokens.find(text))] = true;
  }
  merges_from_scores(std::vector<float>(mergeable.size()), mergeable, parts);
  ASSERT_GT(parts.hidden.size(), 0);
  parts.bos = parts.unknown = parts.tokens.find("dd");
  parts.before = {*parts.bos};
  const BpeTokenizer from(std::move(parts));
  Names lost;
  test::expect_error(ErrorKind::unsupported, "an order that scores of tokens cannot give",
                     [&] { gguf_vocabulary(from, from.vocab_size(), lost); });
}

}  // namespace
}  // namespace nibble
