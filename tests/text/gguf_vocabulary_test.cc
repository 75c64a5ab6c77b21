// Tokenizers from GGUF metadata: small ones made by hand, right and wrong.
#include "nibble/text/gguf_vocabulary.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "nibble/text/byte_level.h"
#include "nibble/text/gguf_pre_tokenizers.h"
#include "nibble/text/token_type.h"
#include "tests/support/expect_error.h"

namespace nibble {
namespace {

using Ids = std::vector<int32_t>;

// Byte-level: the 256 bytes, then "ab", "abc", " a" and two special tokens.
GgufVocabulary small_bpe() {
  GgufVocabulary v;
  v.model = "gpt2";
  v.pre = "gpt-2";
  for (int b = 0; b < 256; ++b) {
    v.tokens.push_back(byte_level_spelling(std::string(1, static_cast<char>(b))));
  }
  v.tokens.insert(v.tokens.end(), {"ab", "abc", "\u0120a", "<|endoftext|>", "<tool>"});
  v.token_types.assign(v.tokens.size(), kNormalToken);
  v.token_types[259] = kControlToken;
  v.token_types[260] = kUserDefinedToken;
  v.merges = {"a b", "ab c", "\u0120 a"};
  v.bos = v.eos = 259;
  return v;
}

// SentencePiece: unknown, BOS, EOS, two bytes, then pieces and their scores.
GgufVocabulary small_spm() {
  GgufVocabulary v;
  v.model = "llama";
  v.tokens = {"<unk>", "<s>", "</s>"};
  v.token_types = {kUnknownToken, kControlToken, kControlToken};
  v.scores = {0, 0, 0};
  for (int b = 0; b < 256; ++b) {
    char text[8];
    std::snprintf(text, sizeof text, "<0x%02X>", static_cast<unsigned>(b));
    v.tokens.emplace_back(text);
    v.token_types.push_back(kByteToken);
    v.scores.push_back(0);
  }
  const std::vector<std::string> pieces = {"\u2581a", "ab", "\u2581", "a", "b"};
  for (size_t i = 0; i < pieces.size(); ++i) {
    v.tokens.push_back(pieces[i]);
    v.token_types.push_back(kNormalToken);
    v.scores.push_back(-static_cast<float>(i));
  }
  return v;
}

constexpr int32_t kFirst = 259;  // "▁a" of small_spm()

BpeTokenizer loaded(const GgufVocabulary& v) {
  std::vector<std::string> warnings;
  BpeTokenizer out(parse_gguf_vocabulary(v, warnings));
  EXPECT_TRUE(warnings.empty()) << warnings[0];
  return out;
}

std::string warning_of(const GgufVocabulary& v) {
  std::vector<std::string> warnings;
  parse_gguf_vocabulary(v, warnings);
  EXPECT_EQ(warnings.size(), 1u);
  return warnings.empty() ? "" : warnings[0];
}

void gguf_refused(const GgufVocabulary& v, const Error& kind, std::string_view key,
                  std::string_view words) {
  std::vector<std::string> warnings;
  try {
    const BpeTokenizer tokenizer(parse_gguf_vocabulary(v, warnings));
    ADD_FAILURE() << "taken, expected: " << words;
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), kind.kind()) << e.what();
    EXPECT_EQ(e.where(), "key \"tokenizer.ggml." + std::string(key) + "\"") << e.what();
    EXPECT_NE(e.reason().find(words), std::string::npos) << e.what();
  }
}

const Error kCorrupt = corrupt(""), kUnsupported = unsupported("");

TEST(GgufVocabulary, ByteLevelBpe) {
  const BpeTokenizer t = loaded(small_bpe());
  EXPECT_EQ(t.encode("abc ax", true), (Ids{257, 258, 'x'}));
  EXPECT_EQ(t.encode("a<|endoftext|>b<tool>", false), (Ids{'a', 259, 'b', 260}));
  const TextPart person{.text = "<|endoftext|>", .literal = true};
  EXPECT_EQ(t.encode_parts({&person, 1}).size(), 13u);
  EXPECT_EQ(t.decode(Ids{257, 258, 259, 260}), "abc a<|endoftext|><tool>");
  EXPECT_TRUE(t.is_special(259));
  EXPECT_FALSE(t.is_special(260));
  EXPECT_EQ(t.bos(), 259);
  EXPECT_EQ(t.ends(), (Ids{259}));
  EXPECT_EQ(t.kind(), "byte-level BPE");
  EXPECT_EQ(t.vocab_size(), 261);
}

TEST(GgufVocabulary, SentencePiece) {
  const BpeTokenizer t = loaded(small_spm());
  EXPECT_EQ(t.encode("ab a", true), (Ids{1, kFirst, kFirst + 4, kFirst}));
  EXPECT_EQ(t.encode("b", false), (Ids{kFirst + 2, kFirst + 4}));
  EXPECT_EQ(t.encode("a\n", false), (Ids{kFirst, 3 + '\n'}));
  EXPECT_EQ(t.decode(t.encode("ab a\u00e9", false)), "ab a\u00e9");
  // As llama.cpp, which puts a space behind each special token.
  EXPECT_EQ(t.encode("<s>ab", false), (Ids{1, kFirst, kFirst + 4}));
  EXPECT_EQ(t.eos(), 2);
  EXPECT_EQ(t.kind(), "SentencePiece BPE");
}

TEST(GgufVocabulary, SpaceBeforeATextIsAMatterOfTheFile) {
  GgufVocabulary v = small_spm();
  v.add_space_prefix = false;
  EXPECT_EQ(loaded(v).encode("ab", false), (Ids{kFirst + 1}));
  GgufVocabulary b = small_bpe();
  b.add_space_prefix = true;
  EXPECT_EQ(loaded(b).encode("ac", false), (Ids{258, 'c'}));
}

TEST(GgufVocabulary, AddsWhatTheFileOrTheFamilySays) {
  GgufVocabulary v = small_bpe();
  EXPECT_EQ(loaded(v).encode("ab", true), (Ids{256}));
  v.pre = "llama-bpe";
  EXPECT_EQ(loaded(v).encode("ab", true), (Ids{259, 256}));
  v.add_bos = false;
  v.add_eos = true;
  EXPECT_EQ(loaded(v).encode("ab", true), (Ids{256, 259}));
  GgufVocabulary s = small_spm();
  s.add_bos = false;
  EXPECT_EQ(loaded(s).encode("a", true), (Ids{kFirst}));
  s.add_bos = true;
  s.bos = kFirst;
  EXPECT_EQ(loaded(s).bos(), kFirst);
}

TEST(GgufVocabulary, AWholeWordStaysOneWhereTheFamilySaysSo) {
  GgufVocabulary v = small_bpe();
  v.tokens.emplace_back("xyz");
  v.token_types.push_back(kNormalToken);
  EXPECT_EQ(loaded(v).encode("xyz", false).size(), 3u);
  v.pre = "llama-bpe";
  EXPECT_EQ(loaded(v).encode("xyz", false), (Ids{261}));
  v.token_types.back() = kUnusedToken;
  EXPECT_EQ(loaded(v).encode("xyz", false).size(), 3u);
}

TEST(GgufVocabulary, UnusedTokensNeverComeOut) {
  GgufVocabulary v = small_spm();
  v.tokens.insert(v.tokens.end(), {"[PAD264]", "x"});
  v.token_types.insert(v.token_types.end(), {kUnusedToken, kUnusedToken});
  v.scores.insert(v.scores.end(), {-10, -11});
  const BpeTokenizer t = loaded(v);
  EXPECT_EQ(t.vocab_size(), kFirst + 7);
  EXPECT_EQ(t.encode("x", false), (Ids{kFirst + 2, 3 + 'x'}));
  for (const int32_t id : t.encode("[PAD264]", false)) EXPECT_LT(id, kFirst + 5);
  EXPECT_EQ(t.decode(Ids{kFirst + 5}, true), "");
}

TEST(GgufVocabulary, EmptyTokensGetAName) {
  GgufVocabulary v = small_bpe();
  v.tokens.insert(v.tokens.end(), {"", ""});
  v.token_types.insert(v.token_types.end(), {kNormalToken, kNormalToken});
  EXPECT_EQ(loaded(v).token_text(262), "[EMPTY_262]");
}

TEST(GgufVocabulary, EndsByIdAndByText) {
  GgufVocabulary v = small_bpe();
  v.tokens.insert(v.tokens.end(), {"<|im_end|>", "<|user|>", "<|end|>", "<stop>", "</s>"});
  v.token_types.insert(v.token_types.end(), {kNormalToken, kControlToken, kUserDefinedToken,
                                             kControlToken, kUnusedToken});
  v.eot = 262;
  v.ends = {264};
  const BpeTokenizer t = loaded(v);
  EXPECT_EQ(t.ends(), (Ids{259, 262, 264, 261, 263}));
  EXPECT_TRUE(t.is_special(261)) << "marked as a normal token by mistake";
  EXPECT_EQ(t.encode("<|im_end|>", false), (Ids{261}));
}

TEST(GgufVocabulary, EndOfAMessageIsNotTheEndOfAnAnswer) {
  GgufVocabulary v = small_bpe();
  v.tokens.insert(v.tokens.end(), {"<|end|>", "<|call|>", "<|return|>"});
  v.token_types.insert(v.token_types.end(), 3, kControlToken);
  EXPECT_EQ(loaded(v).ends(), (Ids{259, 263, 262}));
}

TEST(GgufVocabulary, WhatMergesMakeIsTextHoweverItLooks) {
  GgufVocabulary v = small_bpe();
  v.tokens.insert(v.tokens.end(), {"</", "s>", "</s>"});
  v.token_types.insert(v.token_types.end(), 3, kNormalToken);
  v.merges.insert(v.merges.end(), {"< /", "s >", "</ s>"});
  v.pre = "superbpe";
  const BpeTokenizer t = loaded(v);
  EXPECT_EQ(t.ends(), (Ids{259}));
  EXPECT_FALSE(t.is_special(263));
  EXPECT_EQ(t.encode("</s>", false), (Ids{263}));
}

TEST(GgufVocabulary, Gemma4MergesCharacters) {
  GgufVocabulary v = small_spm();
  v.model = "gemma4";
  v.scores.clear();
  v.merges = {"a b", "\u2581 a"};
  v.bos = 1;
  v.add_bos = false;  // llama.cpp adds it all the same
  const BpeTokenizer t = loaded(v);
  EXPECT_EQ(t.encode("ab ab\u00e9", true),
            (Ids{1, kFirst + 1, kFirst + 2, kFirst + 1, 3 + 0xc3, 3 + 0xa9}));
  EXPECT_EQ(t.decode(Ids{kFirst, 3 + 0xc3, 3 + 0xa9}), " a\u00e9");
}

TEST(GgufVocabulary, Phi3TakesWhiteSpaceAlong) {
  GgufVocabulary v = small_spm();
  v.tokens.emplace_back("<|end|>");
  v.token_types.push_back(kControlToken);
  v.scores.push_back(-1000);
  const int32_t end = kFirst + 5;
  EXPECT_EQ(loaded(v).encode("<|end|>\na", false), (Ids{end, kFirst + 2, 3 + '\n', kFirst + 3}));
  v.general_name = "Phi-3 mini";
  EXPECT_EQ(loaded(v).encode("<|end|>\na", false), (Ids{end, kFirst}));
}

TEST(GgufVocabulary, WarnsOfAMissingPreTokenizer) {
  GgufVocabulary v = small_bpe();
  v.pre.clear();
  EXPECT_NE(warning_of(v).find("missing pre-tokenizer type"), std::string::npos);
  v.pre = "default";
  EXPECT_EQ(loaded(v).encode("abc", false), (Ids{257}));
}

TEST(GgufVocabulary, WithoutScoresTheOrderOfIdsCounts) {
  GgufVocabulary v = small_spm();
  const Ids ids = loaded(v).encode("ab ab b", false);
  for (const float same : {0.0F, -1000.0F}) {
    v.scores.assign(v.tokens.size(), same);
    EXPECT_NE(warning_of(v).find("tokenizer.ggml.scores"), std::string::npos);
    std::vector<std::string> warnings;
    EXPECT_EQ(BpeTokenizer(parse_gguf_vocabulary(v, warnings)).encode("ab ab b", false), ids);
  }
  v.scores.clear();
  EXPECT_NE(warning_of(v).find("tokenizer.ggml.scores"), std::string::npos);
}

TEST(GgufVocabulary, TypesMayBeMissing) {
  GgufVocabulary v = small_spm(), b = small_bpe();
  v.token_types.clear();
  b.token_types.clear();
  EXPECT_EQ(loaded(v).encode("ab a\n", true), (Ids{1, kFirst, kFirst + 4, kFirst, 3 + '\n'}));
  EXPECT_TRUE(loaded(v).is_special(1));
  EXPECT_TRUE(loaded(b).is_special(259));
}

TEST(GgufVocabulary, RefusesByNameWhatItDoesNotKnow) {
  for (const char* model : {"bert", "t5", "rwkv", "plamo2", "no_vocab", "whitespace", ""}) {
    GgufVocabulary v = small_bpe();
    v.model = model;
    gguf_refused(v, kUnsupported, "model", "\"" + std::string(model) + "\"");
  }
  for (const char* pre : {"bert-bge", "whitespace", "gpt-3", "GPT-2"}) {
    GgufVocabulary v = small_bpe();
    v.pre = pre;
    gguf_refused(v, kUnsupported, "pre", "\"" + std::string(pre) + "\"");
  }
}

TEST(GgufVocabulary, RefusesWrongTokens) {
  const auto with = [](std::string text) {
    GgufVocabulary v = small_bpe();
    v.tokens.back() = std::move(text);
    return v;
  };
  gguf_refused(with("ab"), kCorrupt, "tokens", "the same text has id 256 already");
  gguf_refused(with("\xff\xfe"), kCorrupt, "tokens", "token 260");
  gguf_refused(with(std::string(1 << 17, 'x')), kCorrupt, "tokens", "limit 65536");
  GgufVocabulary none;
  none.model = "gpt2";
  none.pre = "gpt-2";
  gguf_refused(none, kCorrupt, "tokens", "no tokens");
  GgufVocabulary longest = small_spm();
  longest.tokens.back() = std::string(2000, 'x');
  gguf_refused(longest, kCorrupt, "tokens", "limit 1024");
}

TEST(GgufVocabulary, RefusesListsThatDoNotFit) {
  GgufVocabulary v = small_bpe();
  v.token_types.pop_back();
  gguf_refused(v, kCorrupt, "token_type", "260 entries for 261 tokens");
  for (const int32_t type : {0, 7, -1, std::numeric_limits<int32_t>::max()}) {
    v = small_bpe();
    v.token_types[3] = type;
    gguf_refused(v, kCorrupt, "token_type", "of token 3");
  }
  v = small_spm();
  v.scores.push_back(0);
  gguf_refused(v, kCorrupt, "scores", "265 entries for 264 tokens");
  for (const float score : {std::numeric_limits<float>::quiet_NaN(), -INFINITY}) {
    v = small_spm();
    v.scores[5] = score;
    gguf_refused(v, kCorrupt, "scores", "token 5 is not finite");
  }
}

TEST(GgufVocabulary, RefusesIdsOutsideTheVocabulary) {
  for (const int64_t id : {int64_t{-1}, int64_t{261}, int64_t{1} << 31, int64_t{1} << 40}) {
    const auto refused = [&](auto field, std::string_view key) {
      GgufVocabulary v = small_bpe();
      v.*field = id;
      gguf_refused(v, kCorrupt, key, "outside the vocabulary of 261");
    };
    refused(&GgufVocabulary::bos, "bos_token_id");
    refused(&GgufVocabulary::eos, "eos_token_id");
    refused(&GgufVocabulary::eot, "eot_token_id");
    refused(&GgufVocabulary::eom, "eom_token_id");
    refused(&GgufVocabulary::unknown, "unknown_token_id");
    refused(&GgufVocabulary::padding, "padding_token_id");
    refused(&GgufVocabulary::mask, "mask_token_id");
    GgufVocabulary v = small_bpe();
    v.ends = {id};
    gguf_refused(v, kCorrupt, "eog_token_ids", "outside the vocabulary of 261");
  }
}

TEST(GgufVocabulary, RefusesToAddATokenThatIsNone) {
  GgufVocabulary v = small_bpe();
  v.bos.reset();
  v.add_bos = true;
  gguf_refused(v, kCorrupt, "add_bos_token", "no such token");
  GgufVocabulary one;
  one.model = "llama";
  one.tokens = {"a"};
  one.scores = {0};
  one.token_types = {kNormalToken};
  std::vector<std::string> warnings;
  EXPECT_THROW(parse_gguf_vocabulary(one, warnings), Error);
}

TEST(GgufVocabulary, RefusesWrongMerges) {
  const auto with = [](std::string merge) {
    GgufVocabulary v = small_bpe();
    v.merges.push_back(std::move(merge));
    return v;
  };
  gguf_refused(with("ab"), kCorrupt, "merges", "expected two parts");
  gguf_refused(with(""), kCorrupt, "merges", "expected two parts");
  gguf_refused(with("a b c"), kCorrupt, "merges", "expected two parts");
  gguf_refused(with("ab ab"), kCorrupt, "merges", "is not in the vocabulary");
  gguf_refused(with("\xff a"), kCorrupt, "merges", "is not in the vocabulary");
  GgufVocabulary v = small_bpe();
  v.merges.clear();
  gguf_refused(v, kCorrupt, "merges", "no merges");
}

TEST(GgufPreTokenizers, AllPatternsWork) {
  for (const GgufPreTokenizer& row : gguf_pre_tokenizers()) {
    EXPECT_NE(find_gguf_pre_tokenizer(row.name), nullptr) << row.name;
    GgufVocabulary v = small_bpe();
    v.pre = row.name;
    if (row.characters) v.unknown = 0;
    const BpeTokenizer t = loaded(v);
    const std::string text = "It's 12345 \u00e9t\u00e9,\r\n  \u4f60\u597d!! x  ";
    if (row.characters) continue;
    EXPECT_EQ(t.decode(t.encode(text, false)), text) << row.name;
  }
}

}  // namespace
}  // namespace nibble
