// The pre-tokenizers that "tokenizer.ggml.pre" can name: how they cut.
#include "nibble/text/gguf_pre_tokenizers.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

namespace nibble {
namespace {

// The words that a pre-tokenizer cuts a text into, with bars between them.
std::string words(const GgufPreTokenizer& row, std::string_view text) {
  PreTokenizer pre;
  for (const std::string_view pattern : row.patterns) {
    pre.splitters.push_back({Regex(pattern)});
  }
  RegexScratch scratch(text.size());
  std::string out;
  for (const TextRange part : pre.split(text, scratch)) {
    if (!out.empty()) out += '|';
    out += text.substr(part.begin, part.size());
  }
  return out;
}

std::string words(std::string_view name, std::string_view text) {
  return words(*find_gguf_pre_tokenizer(name), text);
}

TEST(GgufPreTokenizers, QuickSpellingsCutAsTheFamiliesOwn) {
  constexpr std::string_view kParts[] = {"1",      "2",      "34", "567",   "a",  "B",
                                         " ",      "  ",     "\n", ".",     "'s", "\u00bd",
                                         "\u0301", "\u4f60", "_",  "\u0663"};
  std::minstd_rand random(1);
  int compared = 0;
  for (const GgufPreTokenizer& row : gguf_pre_tokenizers()) {
    if (find_gguf_pre_tokenizer(row.name) == &row) continue;
    for (int i = 0; i < 3000; ++i) {
      std::string text;
      const size_t length = 1 + random() % 14;
      for (size_t n = 0; n < length; ++n) text += kParts[random() % std::size(kParts)];
      ASSERT_EQ(words(row.name, text), words(row, text)) << row.name << ": " << text;
    }
    ++compared;
  }
  EXPECT_EQ(compared, 2);
}

// BAD_INPUTS T6.
TEST(GgufPreTokenizers, TakeLongTextsOfOneKind) {
  for (const std::string part : {"A", " ", "\n", "\u4f60", "7", "!", "a "}) {
    std::string text;
    while (text.size() < 200'000) text += part;
    for (const GgufPreTokenizer& row : gguf_pre_tokenizers()) {
      if (find_gguf_pre_tokenizer(row.name) != &row) continue;
      // Their patterns take the square of a run's length.
      if ((row.name == "jais-2" && part == " ") || (row.name == "superbpe" && part == "7"))
        continue;
      EXPECT_NO_THROW(words(row.name, text)) << row.name << ": " << part;
    }
  }
}

TEST(GgufPreTokenizers, CutAsTheFamiliesDo) {
  EXPECT_EQ(words("gpt-2", "We'll pay 1234!"), "We|'ll| pay| 1234|!");
  EXPECT_EQ(words("starcoder", "We'll pay 1234!"), "We|'ll| pay| |1|2|3|4|!");
  EXPECT_EQ(words("llama-bpe", "WE'LL pay 1234!\n"), "WE|'LL| pay| |123|4|!\n");
  EXPECT_EQ(words("qwen2", "WE'LL pay 1234!\n"), "WE|'LL| pay| |1|2|3|4|!\n");
  EXPECT_EQ(words("gpt-4o", "WE'LL payMe 1234"), "WE'LL| pay|Me| |123|4");
  EXPECT_EQ(words("tekken", "WE'LL payMe 1234"), "WE|'LL| pay|Me| |1|2|3|4");
  EXPECT_EQ(words("deepseek-v3", "We'll pay 1234"), "We|'ll| pay| |123|4");
  EXPECT_EQ(words("deepseek-llm", "We'll pay 1234"), "We|'|ll| pay| |1|2|3|4");
  EXPECT_EQ(words("afmoe", "1 12 123 1234 12345 x1234567"),
            "1| |12| |123| |1|234| |12|345| x|1|234|567");
  EXPECT_EQ(words("tiny_aya", "1234567 ab"), "1|234|567| ab");
  EXPECT_EQ(words("superbpe", "we pay 1234567 now"), "we pay |1|234|567| now");
  EXPECT_EQ(words("kimi-k2", "we\u4f60\u597dpay's"), "we|\u4f60\u597d|pay's");
  EXPECT_EQ(words("bloom", "we, they"), "we|,| they");
  EXPECT_EQ(words("falcon", "we+1234 +"), "we|+|123|4| |+");
  EXPECT_EQ(words("gemma4", "we pay\n1"), "we pay\n1");
}

}  // namespace
}  // namespace nibble
