// What stands beside a tokenizer's own file. The ids are transformers 5.24's for the same files.
#include "nibble/text/tokenizer_config.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <map>

#include "nibble/text/load.h"
#include "tests/support/shared.h"
#include "tests/support/temp_folder.h"
#include "tests/text/tokenizer_json.h"

namespace nibble {
namespace {

using Ids = std::vector<int32_t>;
using Files = std::map<std::string, std::string>;
using test::expect_error;

const std::string kCases = "../shared/cases/";

// vocab.json and merges.txt with other files beside them.
class Folder {
 public:
  Folder(const std::string& name, const std::string& text) : Folder(Files{{name, text}}) {}
  explicit Folder(const Files& more) {
    put("vocab.json", R"({"a":0,"b":1,"ab":2,"<|endoftext|>":3,"Ġ":4,"Ġa":5,"<e>":6,"<":7,">":8,
                         "e":9,"x":10,"p":11})");
    put("merges.txt", "#version: 0.2\na b\nĠ a\n");
    for (const auto& [name, text] : more) put(name, text);
  }
  std::unique_ptr<Tokenizer> load() const { return load_tokenizer(folder_.path()); }
  Ids ids(std::string_view text) const { return load()->encode(text, true); }

 private:
  void put(const std::string& name, std::string_view text) { test::put_file(folder_ / name, text); }
  test::TempFolder folder_;
};

TEST(AddedTokensJson, AreFoundBesideVocabAndMerges) {
  const Folder folder("added_tokens.json", R"({"<x>":12,"<p>":13})");
  EXPECT_EQ(folder.ids("a<x>b"), (Ids{0, 12, 1}));
  EXPECT_EQ(folder.ids(" <x> a"), (Ids{4, 12, 5}));
  EXPECT_EQ(folder.ids("<p>"), (Ids{13}));
  EXPECT_EQ(folder.ids("a<e>"), (Ids{0, 7, 9, 8}));
  EXPECT_EQ(folder.load()->vocab_size(), 14);
  EXPECT_EQ(folder.load()->added_token("<x>"), 12);
  EXPECT_EQ(folder.load()->added_token("ab"), std::nullopt);
  EXPECT_FALSE(folder.load()->is_special(12));
  EXPECT_EQ(folder.load()->decode(Ids{0, 12}, true), "a<x>");
}

TEST(AddedTokensJson, AreSpecialWhereAnotherFileNamesThem) {
  const Folder folder(Files{{"special_tokens_map.json",
                             R"({"eos_token":"<e>","pad_token":{"content":"<p>","lstrip":false,
                            "normalized":false,"rstrip":true,"single_word":false}})"},
                            {"added_tokens.json", R"({"<p>":12})"}});
  EXPECT_EQ(folder.ids("a<e>b"), (Ids{0, 6, 1}));
  EXPECT_EQ(folder.load()->eos(), 6);
  EXPECT_TRUE(folder.load()->is_special(12));
  EXPECT_EQ(folder.load()->decode(Ids{0, 12}, true), "a");
}

TEST(AddedTokensJson, AreNotReadWhereTheConfigListsThem) {
  const Folder folder(
      Files{{"tokenizer_config.json",
             R"({"added_tokens_decoder":{"3":{"content":"<|endoftext|>","special":true}}})"},
            {"added_tokens.json", R"({"<x>":12})"}});
  EXPECT_EQ(folder.ids("<x>"), (Ids{7, 10, 8}));
}

TEST(AddedTokensJson, ThatContradictTheVocabularyAreRefusedByFile) {
  const auto refused = [](const std::string& text, std::string_view words) {
    expect_error(ErrorKind::corrupt, words, [&] { Folder("added_tokens.json", text).load(); });
    expect_error(ErrorKind::corrupt,
                 "added_tokens.json: ", [&] { Folder("added_tokens.json", text).load(); });
  };
  refused(R"({"<x>":0})", "token \"a\" has that id already");
  refused(R"({"a":12})", "the same text has id 0 already");
  refused(R"({"<x>":14})", "no token has id 12");
  refused(R"({"<x>":-1})", "key \"<x>\": expected a token's id");
  refused(R"({"<x>":1099511627776})", "key \"<x>\": expected a token's id");
  refused(R"({"<x>":"12"})", "key \"<x>\": expected an id");
  refused(R"(["<x>"])", "expected an object of tokens and their ids");
}

TEST(AddedTokensJson, BesideTokenizerJsonAddWhatItLacks) {
  test::TempFolder folder;
  test::put_file(folder / "tokenizer.json", test::TokenizerJsonText{}.text());
  test::put_file(folder / "added_tokens.json", R"({"<unk>":3,"<x>":4})");
  const auto tokenizer = load_tokenizer(folder.path());
  EXPECT_EQ(tokenizer->encode("ab<x><unk>", false), (Ids{2, 4, 3}));
}

TEST(SpecialTokensMap, OverrulesAConfigThatListsNoTokens) {
  const Folder folder(Files{{"tokenizer_config.json", R"({"eos_token":"<e>"})"},
                            {"special_tokens_map.json", R"({"eos_token":"<|endoftext|>"})"}});
  EXPECT_EQ(folder.ids("a<e>b"), (Ids{0, 7, 9, 8, 1}));
  EXPECT_EQ(folder.load()->eos(), 3);
  EXPECT_EQ(folder.load()->ends(), (Ids{3, 6}));  // both end a text
}

TEST(SpecialTokensMap, IsOverruledByOneThatDoes) {
  const Folder folder(Files{{"tokenizer_config.json",
                             R"({"eos_token":"<e>","added_tokens_decoder":
                            {"3":{"content":"<|endoftext|>","special":true}}})"},
                            {"special_tokens_map.json",
                             R"({"eos_token":{"content":"<|endoftext|>"},"bos_token":"<gone>"})"}});
  EXPECT_EQ(folder.ids("a<e>b"), (Ids{0, 6, 1}));
  EXPECT_EQ(folder.load()->eos(), 6);
  EXPECT_EQ(folder.load()->ends(), (Ids{6, 3}));
}

TEST(SpecialTokensMap, ErrorsNameIt) {
  expect_error(ErrorKind::corrupt,
               "special_tokens_map.json: key \"eos_token\": \"<gone>\" is not in the",
               [] { Folder("special_tokens_map.json", R"({"eos_token":"<gone>"})").load(); });
  expect_error(ErrorKind::corrupt,
               "special_tokens_map.json: key \"eos_token\": expected a token, found an",
               [] { Folder("special_tokens_map.json", R"({"eos_token":1})").load(); });
}

TEST(TokenizerConfig, SpecialTokensThatItNamesAreFoundInTexts) {
  const std::string e = R"("<e>")";
  for (const std::string& entry :
       {"\"additional_special_tokens\":[" + e + "]", "\"extra_special_tokens\":[" + e + "]",
        "\"extra_special_tokens\":{\"image_token\":" + e + "}", "\"pad_token\":" + e,
        "\"mask_token\":{\"__type\":\"AddedToken\",\"content\":" + e + ",\"normalized\":true}"}) {
    const Folder folder("tokenizer_config.json", "{" + entry + "}");
    EXPECT_EQ(folder.ids("a<e>a"), (Ids{0, 6, 0})) << entry;
    EXPECT_TRUE(folder.load()->is_special(6)) << entry;
  }
  // One without an id stays text.
  EXPECT_EQ(Folder("tokenizer_config.json", R"({"pad_token":"<p>"})").ids("<p>"), (Ids{7, 11, 8}));
}

TEST(TokenizerConfig, NamesTokensAndEdges) {
  const auto with = [](const std::string& config) {
    return Folder("tokenizer_config.json", config).load();
  };
  const auto t = with(R"({"bos_token":{"content":"<e>"},"eos_token":"x","add_bos_token":true})");
  EXPECT_EQ(t->bos(), 6);
  EXPECT_EQ(t->eos(), 10);
  EXPECT_EQ(t->ends(), (Ids{10}));
  EXPECT_EQ(t->encode("ab", true), (Ids{6, 2}));
  EXPECT_EQ(t->encode("ab", false), (Ids{2}));
  EXPECT_EQ(t->edges().before, (Ids{6}));
  EXPECT_EQ(t->edges().after, Ids{});
  const auto both = with(R"({"bos_token":"<e>","eos_token":"<e>","add_bos_token":true,
                             "add_eos_token":true})");
  EXPECT_EQ(both->encode("ab", true), (Ids{6, 2, 6}));
  expect_error(ErrorKind::corrupt, "tokenizer_config.json: key \"bos_token\"",
               [&] { with(R"({"bos_token":"<gone>"})"); });
  expect_error(ErrorKind::corrupt,
               "tokenizer_config.json: key \"add_bos_token\": true, but no such token",
               [&] { with(R"({"add_bos_token":true})"); });
  expect_error(ErrorKind::not_found, "no tokenizer",
               [] { load_tokenizer(test::TempFolder().path()); });
}

TEST(TokenizerConfig, RefusesByNameWhatChangesTheIds) {
  for (const auto& [config, words] : std::vector<std::pair<std::string, std::string>>{
           {R"({"split_special_tokens":true})", "key \"split_special_tokens\""},
           {R"({"fix_mistral_regex":true})", "key \"fix_mistral_regex\""},
           {R"({"sp_model_kwargs":{"enable_sampling":true}})", "key \"sp_model_kwargs.enable"},
           {R"({"legacy":"yes"})", "key \"legacy\": expected true or false"},
           {R"({"add_prefix_space":1})", "key \"add_prefix_space\": expected true or false"},
           {R"({"eos_token":{"content":"x","odd":1}})", "key \"eos_token.odd\""},
           {R"({"added_tokens_decoder":{"x":{"content":"y"}}})", "expected an id as its key"},
           {R"({"added_tokens_decoder":[]})", "expected an object"}}) {
    expect_error(test::bad_file(), "tokenizer_config.json: key",
                 [&] { Folder("tokenizer_config.json", config).load(); });
    expect_error(test::bad_file(), words, [&] { Folder("tokenizer_config.json", config).load(); });
  }
  EXPECT_NO_THROW(Folder("tokenizer_config.json",
                         R"({"split_special_tokens":false,"sp_model_kwargs":{},"legacy":null,
                               "add_prefix_space":null,"eos_token":null})")
                      .load());
}

// The shared cases, by transformers' ids.
TEST(AddedTokensJson, BesideASentencePieceModel) {
  const std::string folder = kCases + "added-tokens-json/model";
  if (test::lacks_shared(folder)) GTEST_SKIP() << folder;
  const auto t = load_tokenizer(folder);
  EXPECT_EQ(t->encode("Hi<|im_end|>", true), (Ids{1, 6324, 32001}));
  EXPECT_EQ(t->encode("a</s>b <s> c<|im_end|>d <|im_end|> e", true),
            (Ids{1, 263, 2, 29890, 29871, 1, 274, 32001, 29881, 29871, 32001, 321}));
}

TEST(PrefixSpace, OfTheSharedCases) {
  const std::string folder = kCases + "add-prefix-space/";
  if (test::lacks_shared(folder)) GTEST_SKIP() << folder;
  EXPECT_EQ(load_tokenizer(folder + "gpt2")->encode("Hello world", true), (Ids{18435, 995}));
  EXPECT_EQ(load_tokenizer(folder + "llama2")->encode("Hello", false), (Ids{10994}));
}

TEST(PrefixSpace, BesideVocabAndMerges) {
  const Folder yes("tokenizer_config.json", R"({"add_prefix_space":true})");
  EXPECT_EQ(yes.ids("a"), (Ids{5}));
  EXPECT_EQ(yes.ids("a<|endoftext|>a"), (Ids{5, 3, 5}));
  EXPECT_EQ(yes.ids(" a"), (Ids{5}));
  EXPECT_EQ(Folder("tokenizer_config.json", R"({"add_prefix_space":false})").ids("a"), (Ids{0}));
  expect_error(ErrorKind::unsupported, "tokenizer_config.json: key \"add_prefix_space\"", [] {
    Folder("tokenizer_config.json",
           R"({"add_prefix_space":true,"tokenizer_class":"Qwen2Tokenizer"})")
        .load();
  });
}

// A copy of llama2's tokenizer.model with a config.
std::vector<Ids> llama2_ids(const std::string& config) {
  const std::string original = "../shared/data/tokenizers/llama2/tokenizer.model";
  test::TempFolder folder;
  std::filesystem::create_symlink(std::filesystem::absolute(original), folder / "tokenizer.model");
  test::put_file(folder / "tokenizer_config.json",
                 R"({"bos_token":"<s>","eos_token":"</s>","unk_token":"<unk>")" + config + "}");
  const auto t = load_tokenizer(folder.path());
  return {t->encode("Hello", false), t->encode("a</s>b", false), t->encode("</s>a", false),
          t->encode("</s> a", false)};
}

TEST(PrefixSpace, OfASentencePieceModelStandsAtTheBeginningOrBehindSpecialTokensToo) {
  if (test::lacks_shared("../shared/data/tokenizers")) GTEST_SKIP() << "no tokenizers";
  using All = std::vector<Ids>;
  EXPECT_EQ(llama2_ids(""), (All{{15043}, {263, 2, 29890}, {2, 29874}, {2, 263}}));
  EXPECT_EQ(llama2_ids(R"(,"legacy":false)"), llama2_ids(""));
  EXPECT_EQ(llama2_ids(R"(,"add_prefix_space":true)"), llama2_ids(""));
  EXPECT_EQ(llama2_ids(R"(,"legacy":true)"),
            (All{{15043}, {263, 2, 289}, {2, 263}, {2, 29871, 263}}));
  EXPECT_EQ(llama2_ids(R"(,"add_prefix_space":false)"),
            (All{{10994}, {29874, 2, 29890}, {2, 29874}, {2, 263}}));
}

// tokenizer.json in each of the forms that put a space before a text.
BpeTokenizer json_with(const test::TokenizerJsonText& file, bool wanted,
                       const std::string& kind = "LlamaTokenizer") {
  TokenizerConfig config;
  config.file = "tokenizer_config.json";
  config.add_prefix_space = wanted;
  config.tokenizer_class = kind;
  return BpeTokenizer(parse_tokenizer_json(file.text(), config));
}

const std::string kMarks = R"({"a":0,"b":1,"▁":2,"▁a":3,"<unk>":4})";
const test::TokenizerJsonText kPrepend{
    .vocab = kMarks,
    .merges = R"(["▁ a"])",
    .normalizer = R"({"type":"Sequence","normalizers":[{"type":"Prepend","prepend":"▁"},
                      {"type":"Replace","pattern":{"String":" "},"content":"▁"}]})",
    .decoder = R"({"type":"Sequence","decoders":[{"type":"Replace","pattern":{"String":"▁"},
                   "content":" "},{"type":"Fuse"},
                   {"type":"Strip","content":" ","start":1,"stop":0}]})"};

test::TokenizerJsonText metaspace(const std::string& scheme) {
  const std::string step = R"({"type":"Metaspace","replacement":"▁",)" + scheme + "}";
  return {.vocab = kMarks, .merges = R"(["▁ a"])", .pre = step, .decoder = step};
}

TEST(PrefixSpace, OfTokenizerJsonIsTakenAwayWithWhatTheDecoderTakesOff) {
  for (const auto& file :
       {kPrepend, metaspace(R"("prepend_scheme":"always")"),
        metaspace(R"("prepend_scheme":"first")"), metaspace(R"("split":true)")}) {
    EXPECT_EQ(file.load().encode("a b", false), (Ids{3, 2, 1}));
    EXPECT_EQ(json_with(file, true).encode("a b", false), (Ids{3, 2, 1}));
    EXPECT_EQ(json_with(file, true).decode(Ids{3, 2, 1}), "a b");
    EXPECT_EQ(json_with(file, false).encode("a b", false), (Ids{0, 2, 1}));
    EXPECT_EQ(json_with(file, false).encode(" a", false), (Ids{3}));
    EXPECT_EQ(json_with(file, false).decode(Ids{0, 2, 1}), "a b");
    EXPECT_EQ(json_with(file, false).decode(Ids{3}), " a");
    // Other classes than Llama's do not heed it there, in no version of transformers.
    expect_error(ErrorKind::unsupported, "tokenizer_config.json: key \"add_prefix_space\"",
                 [&] { json_with(file, false, "PreTrainedTokenizerFast"); });
    EXPECT_NO_THROW(json_with(file, true, "PreTrainedTokenizerFast"));
  }
  test::TokenizerJsonText only = kPrepend;
  only.normalizer = R"({"type":"Prepend","prepend":"▁"})";
  EXPECT_EQ(json_with(only, false).encode("a", false), (Ids{0}));
}

TEST(PrefixSpace, OfTokenizerJsonIsPutWhereThereIsAPlace) {
  const auto never = metaspace(R"("prepend_scheme":"never")");
  EXPECT_EQ(never.load().encode("a", false), (Ids{0}));
  EXPECT_EQ(json_with(never, true).encode("a", false), (Ids{3}));
  expect_error(ErrorKind::unsupported,
               "key \"add_prefix_space\": true, where tokenizer.json puts no space",
               [] { json_with({}, true); });
  EXPECT_EQ(json_with({}, false).encode("ab", false), (Ids{2}));
}

TEST(PrefixSpace, OfByteLevelIsAsTheConfigSays) {
  const test::TokenizerJsonText file{.vocab = R"({"a":0,"b":1,"Ġ":2,"Ġa":3})",
                                     .merges = R"(["Ġ a"])",
                                     .model = R"("unk_token":null)",
                                     .pre = R"({"type":"ByteLevel","add_prefix_space":false})",
                                     .decoder = R"({"type":"ByteLevel"})"};
  test::TokenizerJsonText on = file, behind = file;
  on.pre = R"({"type":"Sequence","pretokenizers":[{"type":"ByteLevel"}]})";
  behind.pre = R"({"type":"Sequence","pretokenizers":[{"type":"Digits"},)" + file.pre + "]}";
  for (const std::string kind : {"GPT2Tokenizer", "PreTrainedTokenizerFast"}) {
    EXPECT_EQ(json_with(file, true, kind).encode("a", false), (Ids{3}));
    EXPECT_EQ(json_with(file, false, kind).encode("a", false), (Ids{0}));
    EXPECT_EQ(json_with(on, false, kind).encode("a", false), (Ids{0}));
    EXPECT_EQ(json_with(behind, false, kind).encode("a", false), (Ids{0}));
  }
  EXPECT_EQ(on.load().encode("a", false), (Ids{3}));
  expect_error(ErrorKind::unsupported, "a prefix space behind another step",
               [&] { json_with(behind, true); });
}

}  // namespace
}  // namespace nibble
