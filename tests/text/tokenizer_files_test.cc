// Hostile and unusual tokenizer files: BAD_INPUTS T3 to T5 and L4, SentencePiece models.
#include <gtest/gtest.h>

#include <chrono>
#include <cstring>

#include "nibble/text/load.h"
#include "nibble/text/tokenizer.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_folder.h"
#include "tests/text/tokenizer_json.h"

namespace nibble {
namespace {

using namespace std::literals;
using test::expect_error;
using Ids = std::vector<int32_t>;

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text));
}

using File = test::TokenizerJsonText;
using test::refused;

TEST(TokenizerJson, SmallestFileWorks) {
  const BpeTokenizer t = File{}.load();
  EXPECT_EQ(t.encode("abba?", true), (Ids{2, 1, 0, 3}));
  EXPECT_EQ(t.decode(Ids{2, 1}), "abb");
  EXPECT_EQ(t.vocab_size(), 4);
  EXPECT_FALSE(t.bos().has_value());
  EXPECT_EQ(File{.merges = R"([["a","b"]])"}.load().encode("ab", false), (Ids{2}));
}

TEST(TokenizerJson, NoDropoutIsNone) {
  for (const char* none : {"null", "0.0", "0"})
    EXPECT_EQ(File{.model = R"("dropout":)" + std::string(none)}.load().encode("ab", false),
              (Ids{2}));
  for (const char* some : {"0.1", "1", "1e-9"})
    refused({.model = R"("dropout":)" + std::string(some)}, "dropout is not supported");
}

TEST(TokenizerJson, RefusesWrongMerges) {
  refused({.merges = R"(["a c"])"}, "\"c\" is not in the vocabulary");
  refused({.merges = R"(["b a"])"}, "\"ba\" is not in the vocabulary");
  refused({.merges = R"(["a"])"}, "expected two parts");
  refused({.merges = R"(["a b c"])"}, "expected two parts");
  refused({.merges = R"([["a"]])"}, "a merge of 1 parts");
  refused({.merges = R"([["a","b","c"]])"}, "a merge of 3 parts");
  refused({.merges = R"([[["a","b"]]])"}, "expected an array of merges");
  refused({.merges = R"({"a":1})"}, "expected an array of merges");
  refused({.merges = R"([1])"}, "expected an array of merges");
}

TEST(TokenizerJson, RefusesWrongIds) {
  refused({.vocab = R"({"a":0,"b":1,"ab":2,"<unk>":4})"}, "no token has id 3");
  refused({.vocab = R"({"a":0,"b":1,"ab":1,"<unk>":2})"}, "\"b\" has that id already");
  refused({.vocab = R"({"a":0,"b":1,"ab":1099511627776})"}, "ids go from 0 to 2097151");
  refused({.vocab = R"({"a":0,"b":-1})"}, "ids go from 0");
  refused({.vocab = R"({"a":0,"b":1.0})"}, "expected an object of tokens and their ids");
  refused({.vocab = R"({"a":0,"a":1})"}, "duplicate key \"a\"");
  refused({.vocab = R"([["a",0.5]])"}, "Unigram");
  refused({.model = R"("unk_token":"<none>")"}, "\"<none>\" is not in the vocabulary");
  const auto added = [](const std::string& id, const std::string& content) {
    return R"([{"id":)" + id + R"(,"content":")" + content + "\"}]";
  };
  refused({.added = added("9", "<x>")}, "no token has id 4");
  refused({.added = added("1", "<x>")}, "\"b\" has that id already");
  refused({.added = added("4", "a")}, "the same text has id 0 already");
  refused({.added = added("4", "")}, "must not be empty");
  refused({.added = added("4294967300", "<x>")}, "ids go from 0");
  refused({.added = added("4", std::string(1000, 'x'))}, "must be 1 to 256");
}

TEST(TokenizerJson, RefusesWhatIsTooMuchInTime) {
  const auto start = std::chrono::steady_clock::now();
  std::string merges = "[\"a b\"";
  for (int i = 0; i < 5'000'000; ++i) merges += ",\"a b\"";
  refused({.merges = merges + "]"}, "more than 2097152 merges");
  refused({.vocab = "{\"" + std::string(1 << 20, 'a') + "\":0}"}, "limit 65536");
  EXPECT_LT(std::chrono::steady_clock::now() - start, 20s);  // seconds for O(n^2) are thousands
}

TEST(TokenizerJson, RefusesByNameWhatItCannotDo) {
  refused({.type = "WordPiece"}, "\"WordPiece\"");
  refused({.type = "Unigram"}, "\"Unigram\"");
  refused({.model = R"("dropout":0.1)"}, "dropout");
  refused({.model = R"("end_of_word_suffix":"</w>")"}, "end_of_word_suffix");
  refused({.model = R"("surprise":1)"}, "key \"model.surprise\"");
  refused({.more = R"("surprise":1,)"}, "key \"surprise\"");
  refused({.normalizer = R"({"type":"BertNormalizer"})"}, "\"BertNormalizer\"");
  refused({.normalizer = R"({"type":"Precompiled","precompiled_charsmap":"AA=="})"}, "Precompiled");
  refused({.normalizer = R"({"type":"NFC","x":1})"}, "key \"normalizer.x\"");
  refused({.pre = R"({"type":"BertPreTokenizer"})"}, "\"BertPreTokenizer\"");
  refused({.pre = R"({"type":"Split","pattern":{"String":" "},"behavior":"Odd"})"}, "\"Odd\"");
  refused({.post = R"({"type":"BertProcessing"})"}, "\"BertProcessing\"");
  refused({.decoder = "null"}, "key \"decoder\"");
  refused({.decoder = R"({"type":"WordPiece"})"}, "\"WordPiece\"");
}

TEST(TokenizerJson, RefusesPatternsItCannotRun) {
  const auto split = [](const std::string& regex) {
    return File{.pre = R"({"type":"Split","behavior":"Isolated","pattern":{"Regex":")" + regex +
                       "\"}}"};
  };
  refused(split(R"((a)\\1)"), "is not supported");
  refused(split("(a"), "pattern");
  refused(split("[a[b]]"), "a class inside a class");
  refused(split("(*MARK:x)a"), "a verb");
  refused(split(std::string(10'000, 'a')), "limit 4096");
  refused(split("((((((((((a{99}){99}){99}){99}){99}){99}){99}){99}){99}){99})"), "pattern");
  refused(split(std::string(100, '(') + std::string(100, ')')), "pattern");
}

TEST(TokenizerJson, AHostilePatternIsStopped) {
  const BpeTokenizer t =
      File{.pre = R"({"type":"Split","behavior":"Isolated","pattern":{"Regex":"(a+)+$"}})"}.load();
  std::string text(40'001, 'a');
  text.back() = 'b';
  const auto start = std::chrono::steady_clock::now();
  expect_error(ErrorKind::unsupported, "too much time or memory", [&] { t.encode(text, false); });
  EXPECT_LT(std::chrono::steady_clock::now() - start, 10s);
}

TEST(TokenizerJson, TemplateAndAddedTokens) {
  const File file{
      .added = R"([{"id":4,"content":"<s>","special":true},
                   {"id":5,"content":"<x>","lstrip":true,"rstrip":true,"normalized":false},
                   {"id":6,"content":"ab","single_word":true,"normalized":false},
                   {"id":7,"content":"<xx>","normalized":false}])",
      .post = R"({"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<s>","type_id":0}},
                  {"Sequence":{"id":"A","type_id":0}}],"pair":[],
                  "special_tokens":{"<s>":{"id":"<s>","ids":[4],"tokens":["<s>"]}}})"};
  File other = file;
  other.vocab = R"({"a":0,"b":1,"<unk>":2,"aa":3})";
  other.merges = R"(["a a"])";
  const BpeTokenizer t = other.load();
  EXPECT_EQ(t.encode("a<s>b", true), (Ids{4, 0, 4, 1}));
  EXPECT_EQ(t.encode("a  <x> \u00a0b", false), (Ids{0, 5, 1}));
  EXPECT_EQ(t.encode("ab", false), (Ids{6}));
  EXPECT_EQ(t.encode("aab", false), (Ids{3, 1}));
  EXPECT_EQ(t.encode("<xx><x", false), (Ids{7, 2, 2}));
  EXPECT_TRUE(t.is_special(4));
  EXPECT_EQ(t.decode(Ids{4, 0}, true), "a");
}

TEST(VocabAndMerges, ErrorsNameTheFileAndTheLine) {
  test::TempFolder folder;
  const auto with = [&](std::string_view vocab, std::string_view merges) {
    test::put_file(folder / "vocab.json", vocab);
    test::put_file(folder / "merges.txt", merges);
    return load_tokenizer(folder.path());
  };
  constexpr std::string_view kVocab = R"({"a":0,"b":1,"ab":2,"<e>":3})";
  EXPECT_EQ(with(kVocab, "#version: 0.2\na b\n")->encode("ab", false), (Ids{2}));
  EXPECT_EQ(with(kVocab, "a b\r\n")->encode("ab", false), (Ids{2}));
  expect_error(ErrorKind::corrupt, "vocab.json: offset 12: token \"b\"",
               [&] { with(R"({"a":0,"b":0})", "a b"); });
  expect_error(ErrorKind::corrupt, "merges.txt: line 2: merge \"a b c\"",
               [&] { with(kVocab, "a b\na b c\n"); });
  expect_error(ErrorKind::corrupt, "\"c\" is not in the vocabulary", [&] { with(kVocab, "a c"); });
  test::put_file(folder / "tokenizer_config.json", R"({"eos_token":"<e>"})");
  EXPECT_EQ(with(kVocab, "a b")->encode("a<e>", false), (Ids{0, 3}));
  test::put_file(folder / "tokenizer_config.json", R"({"tokenizer_class":"BertTokenizer"})");
  expect_error(ErrorKind::unsupported, "\"BertTokenizer\"", [&] { with(kVocab, "a b"); });
}

// SentencePiece models, written by hand.
std::string varint(uint64_t value) {
  std::string out;
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  return out + static_cast<char>(value);
}
std::string number(uint32_t field, uint64_t value) { return varint(field << 3) + varint(value); }
std::string bytes(uint32_t field, std::string_view content) {
  return varint(field << 3 | 2) + varint(content.size()) + std::string(content);
}
std::string f32(float value) {
  std::string out(4, '\0');
  std::memcpy(out.data(), &value, 4);
  return out;
}
std::string piece(std::string_view text, float score, uint64_t type) {
  return bytes(1, bytes(1, text) + varint(2 << 3 | 5) + f32(score) + number(3, type));
}
struct Model {
  std::string pieces = piece("<unk>", 0, 2) + piece("<s>", 0, 3) + piece("</s>", 0, 3) +
                       piece("\u2581", -4, 1) + piece("b", -5, 1) + piece("xyz", -2, 1) +
                       piece("xy", -3, 1) + piece("\u2581xyz", -1, 1) + piece("<u>", 0, 4);
  std::string trainer = number(3, 2) + number(41, 1) + number(42, 2);
  std::string normalizer = bytes(1, "identity") + number(4, 0);
  std::string text() const { return pieces + bytes(2, trainer) + bytes(3, normalizer); }
  BpeTokenizer load() const {
    const std::string content = text();
    return BpeTokenizer(parse_sentencepiece(bytes_of(content)));
  }
};
void model_refused(const Model& model, std::string_view words) {
  expect_error(test::bad_file(), words, [&] { model.load(); });
}

TEST(SentencePiece, MergesTextsByScore) {
  const BpeTokenizer t = Model{}.load();
  EXPECT_EQ(t.encode("xyz", true), (Ids{1, 7}));
  EXPECT_EQ(t.encode("bxyxyz", false), (Ids{3, 4, 6, 5}));  // x, y, z alone are no pieces
  EXPECT_EQ(t.encode("xxb", false), (Ids{3, 0, 4}));        // unknown ones become one
  EXPECT_EQ(t.encode("x<u>b", false), (Ids{3, 0, 8, 4}));
  EXPECT_EQ(t.encode("", false), Ids{});
  EXPECT_EQ(t.decode(Ids{1, 7, 4}, true), "xyzb");
}

TEST(SentencePiece, RefusesByName) {
  model_refused({.trainer = number(3, 1)}, "unigram");
  model_refused({.trainer = ""}, "unigram");
  model_refused({.trainer = number(3, 2) + number(24, 1)}, "treat_whitespace_as_suffix");
  model_refused({.normalizer = bytes(1, "nmt_nfkc") + bytes(2, "x")}, "\"nmt_nfkc\"");
  model_refused({.pieces = piece("a", 0, 1)}, "UNKNOWN");
  model_refused({.pieces = piece("<unk>", 0, 2) + piece("a", 0, 5)}, "UNUSED");
  model_refused({.pieces = piece("<unk>", 0, 2) + piece("a", 0, 9)}, "piece type 9");
  model_refused({.pieces = piece("<unk>", 0, 2) + piece("<unk>", 0, 2)}, "same text");
  model_refused({.pieces = piece("<unk>", 0, 2) + piece("", 0, 1)}, "must not be empty");
  model_refused({.pieces = piece("\xff", 0, 2)}, "UTF-8");
  model_refused({.trainer = number(3, 2) + number(41, 1000)}, "outside the vocabulary");
  model_refused({.pieces = ""}, "no pieces");
}

TEST(SentencePiece, EveryCutAndEveryFlippedBitEndsWell) {
  const std::string good = Model{}.text();
  const auto load = [](const std::string& text) {
    try {
      BpeTokenizer t(parse_sentencepiece(bytes_of(text)));
      t.decode(t.encode("x y\u00e9 xyz", true));
      return true;
    } catch (const Error& e) {
      EXPECT_TRUE(test::bad_file().fits(e)) << e.what();
      return false;
    }
  };
  int refusals = 0;
  for (size_t size = 0; size < good.size(); ++size) refusals += !load(good.substr(0, size));
  EXPECT_GT(refusals, static_cast<int>(good.size()) / 2);
  for (size_t bit = 0; bit < good.size() * 8; ++bit) {
    std::string bad = good;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << bit % 8));
    load(bad);
  }
  expect_error(ErrorKind::corrupt, "longer than 64 bits", [] {
    parse_sentencepiece(bytes_of("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f"sv));
  });
  expect_error(ErrorKind::corrupt, "needs 127 bytes, 0 left",
               [] { parse_sentencepiece(bytes_of("\x0a\x7f"sv)); });
}

std::string i32(int32_t value) {
  std::string out(4, '\0');
  std::memcpy(out.data(), &value, 4);
  return out;
}
std::string llama2c_token(std::string_view text, float score = 0) {
  return f32(score) + i32(static_cast<int32_t>(text.size())) + std::string(text);
}
std::string llama2c_file(std::string_view more) {
  std::string out =
      i32(16) + llama2c_token("<unk>") + llama2c_token("\n<s>\n") + llama2c_token("\n</s>\n");
  for (int b = 0; b < 256; ++b) {
    char text[8];
    std::snprintf(text, sizeof text, "<0x%02X>", b);
    out += llama2c_token(text);
  }
  return out + std::string(more);
}
BpeTokenizer llama2c(const std::string& file) {
  return BpeTokenizer(parse_llama2c_tokenizer(bytes_of(file)));
}

TEST(Llama2c, ReadsItsTokenizer) {
  const BpeTokenizer t = llama2c(
      llama2c_file(llama2c_token(" ", -3) + llama2c_token("a", -2) + llama2c_token(" a", -1)));
  EXPECT_EQ(t.vocab_size(), 262);
  EXPECT_EQ(t.encode("a\u00e9", true), (Ids{1, 261, 3 + 0xC3, 3 + 0xA9}));
  EXPECT_EQ(t.decode(Ids{1, 261, 3 + 0xC3, 3 + 0xA9}, true), "a\u00e9");
}

TEST(Llama2c, RefusesBrokenFiles) {
  const auto bad = [](std::string_view more, std::string_view words) {
    expect_error(ErrorKind::corrupt, words, [&] { llama2c(llama2c_file(more)); });
  };
  bad(f32(0) + i32(-1), "length -1");
  bad(f32(0) + i32(0x7FFFFFFF), "length 2147483647");
  bad(f32(0) + i32(10) + "abc", "needs 10 bytes, 3 left");
  bad("\x01", "needs 4 bytes, 1 left");
  bad(llama2c_token("\xff"), "not UTF-8");
  expect_error(ErrorKind::corrupt, "max_token_length", [] { llama2c(i32(0)); });
  expect_error(ErrorKind::corrupt, "bytes first", [] { llama2c(i32(9) + llama2c_token("<unk>")); });
}

}  // namespace
}  // namespace nibble
