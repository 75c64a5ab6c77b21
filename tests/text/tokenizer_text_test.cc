// Texts of every kind: valid or not (BAD_INPUTS T7), long (T6), as a stream.
#include <gtest/gtest.h>
#include <malloc.h>
#include <pthread.h>
#include <rapidcheck/gtest.h>
#include <time.h>

#include <filesystem>
#include <limits>
#include <memory>
#include <thread>

#include "nibble/text/byte_level.h"
#include "nibble/text/load.h"
#include "nibble/text/normalizer.h"
#include "nibble/text/tokenizer.h"
#include "nibble/text/utf8.h"
#include "tests/support/expect_error.h"
#include "tests/support/shared.h"

namespace nibble {
namespace {

using namespace std::literals;
using Ids = std::vector<int32_t>;
#if defined(__SANITIZE_ADDRESS__)
constexpr bool kSlow = true;
#else
constexpr bool kSlow = false;
#endif
const std::string kTextFolder = "../shared/data/tokenizers/";

// A byte-level tokenizer of its own, so that no other file is needed.
BpeTokenizer bytes_tokenizer() {
  BpeParts parts;
  for (int b = 0; b < 256; ++b) {
    parts.tokens.add(byte_level_spelling(std::string(1, static_cast<char>(b))), b);
  }
  const auto merge = [&](int32_t left, int32_t right) {
    const int32_t id = parts.tokens.size();
    parts.tokens.add(std::string(parts.tokens.text(left)) + std::string(parts.tokens.text(right)),
                     id);
    parts.merges.add(left, right, {static_cast<uint32_t>(id), id});
    return id;
  };
  merge(merge('A', 'A'), merge(' ', 'A'));
  merge(merge('\n', '\n'), merge(' ', ' '));
  merge(merge(0xC3, 0xA9), 'A');
  const int32_t end = parts.tokens.size();
  parts.tokens.add("<|end|>", end);
  parts.added.push_back({.content = "<|end|>", .id = end, .normalized = false, .special = true});
  parts.pre_tokenizer.splitters.push_back({Regex(kQwen2Pattern)});
  parts.byte_level = parts.decoder.byte_level = true;
  return BpeTokenizer(std::move(parts));
}

std::string streamed_text(const Tokenizer& tokenizer, const Ids& ids) {
  StreamDecoder stream(tokenizer, false);
  std::string text;
  for (const int32_t id : ids) {
    const std::string part = stream.push(id);
    RC_ASSERT(is_utf8(part));
    text += part;
  }
  return text + stream.finish();
}

// Characters of every length and kind, among them what patterns and merges care about.
std::string text_from(const std::vector<uint32_t>& draws) {
  constexpr char32_t kOften[] = {'A',    ' ',    '\n',    '\r',   '\t',   '1',     '\'',
                                 's',    '.',    0xE9,    0x301,  0x2581, 0x180E,  0x85,
                                 0x3000, 0x4E2D, 0x1F600, 0xFFFD, 0,      0x10FFFF};
  std::string text;
  for (const uint32_t draw : draws) {
    char32_t c = draw % 3 != 0 ? kOften[draw / 3 % std::size(kOften)] : draw / 3 % 0x110000;
    if (c >= 0xD800 && c <= 0xDFFF) c = 'x';
    append_utf8(text, c);
    if (draw % 97 == 0) text += "<|end|>";
  }
  return text;
}

RC_GTEST_PROP(ByteLevel, DecodingGivesTheTextBack, (const std::vector<uint32_t>& draws)) {
  static const BpeTokenizer tokenizer = bytes_tokenizer();
  const std::string text = text_from(draws);
  const Ids ids = tokenizer.encode(text, true);
  RC_ASSERT(tokenizer.decode(ids) == text);
  RC_ASSERT(streamed_text(tokenizer, ids) == text);
}

RC_GTEST_PROP(ByteLevel, AnyIdsDecodeTheSameAsAStream, (const std::vector<uint16_t>& draws)) {
  static const BpeTokenizer tokenizer = bytes_tokenizer();
  Ids ids;
  for (const uint16_t d : draws) ids.push_back(d % tokenizer.vocab_size());
  const std::string text = tokenizer.decode(ids);
  RC_ASSERT(is_utf8(text));
  RC_ASSERT(streamed_text(tokenizer, ids) == text);
}

RC_GTEST_PROP(ByteLevel, AnyBytesEncode, (const std::string& bytes)) {
  static const BpeTokenizer tokenizer = bytes_tokenizer();
  RC_ASSERT(tokenizer.decode(tokenizer.encode(bytes, true)) == repaired_utf8(bytes));
}

// The definition of merging: again and again the pair of lowest rank, of those the leftmost.
Ids merged_naively(const MergeTable& table, Ids symbols) {
  while (true) {
    size_t best = symbols.size();
    Merge merge{MergeTable::kNone, -1};
    for (size_t i = 0; i + 1 < symbols.size(); ++i) {
      const Merge m = table.find(symbols[i], symbols[i + 1]);
      if (m.rank < merge.rank) best = i, merge = m;
    }
    if (merge.id < 0) return symbols;
    symbols[best] = merge.id;
    symbols.erase(symbols.begin() + static_cast<ptrdiff_t>(best) + 1);
  }
}

RC_GTEST_PROP(Merger, ShortAndLongWordsMergeAsTheDefinitionSays,
              (const std::vector<uint16_t>& pairs, const std::vector<uint8_t>& draws)) {
  MergeTable table;
  for (size_t i = 0; i < pairs.size(); ++i) {  // ranks that repeat, ids that repeat
    table.add(pairs[i] % 8, pairs[i] / 8 % 8,
              {static_cast<uint32_t>(i / 2), static_cast<int32_t>(pairs[i] / 64 % 8)});
  }
  for (const size_t times : {1, 2, 20}) {
    Ids symbols;
    for (size_t i = 0; i < times; ++i) {
      for (const uint8_t d : draws) symbols.push_back(d % 8);
    }
    const Ids expected = merged_naively(table, symbols);
    Merger(table).run(symbols);
    RC_ASSERT(symbols == expected);
  }
}

TEST(Utf8, RepairsMaximalParts) {
  const std::string r = "\uFFFD";
  EXPECT_EQ(repaired_utf8("a\xff"
                          "b"),
            "a" + r + "b");
  EXPECT_EQ(repaired_utf8("\xed\xa0\x80"), r + r + r);  // a surrogate
  EXPECT_EQ(repaired_utf8("\xe4\xb8"), r);
  EXPECT_EQ(repaired_utf8("\xf0\x9f\x98z"), r + "z");
  EXPECT_EQ(repaired_utf8("\xc0\x80"), r + r);
  EXPECT_EQ(repaired_utf8("\xf4\x90\x80\x80"), r + r + r + r);
  EXPECT_EQ(unfinished_utf8("a\xf0\x9f\x98"), 3u);
  EXPECT_EQ(unfinished_utf8("\xe4"), 1u);
  EXPECT_EQ(unfinished_utf8("\xed\xa0"), 0u);
  EXPECT_EQ(unfinished_utf8("\u00e9"), 0u);
  EXPECT_EQ(unfinished_utf8("\x80\x80"), 0u);
}

TEST(NormalForm, FollowsTheAnnex) {
  EXPECT_EQ(normal_form("e\u0301", NormalForm::nfc), "\u00e9");
  EXPECT_EQ(normal_form("\u00e9", NormalForm::nfd), "e\u0301");
  EXPECT_EQ(normal_form("\u1112\u1161\u11ab", NormalForm::nfc), "\ud55c");
  EXPECT_EQ(normal_form("q\u0307\u0323", NormalForm::nfc), "q\u0323\u0307");
  EXPECT_EQ(normal_form("\ufb01", NormalForm::nfkc), "fi");
  EXPECT_EQ(normal_form("\u2126", NormalForm::nfc), "\u03a9");
  EXPECT_EQ(normal_form("\u0958", NormalForm::nfc), "\u0915\u093c");  // excluded from composing
}

TEST(Regex, SpacesAreThoseOfUnicode) {
  RegexScratch scratch(16);
  const auto matches = [&](std::string_view pattern, std::string_view text) {
    return Regex(pattern).search(text, 0, scratch).has_value();
  };
  for (const char* space : {" ", "\t", "\u0085", "\u00a0", "\u2003", "\u2028", "\u3000"}) {
    EXPECT_TRUE(matches("^\\s$", space) && matches("^[\\s]$", space)) << space;
    EXPECT_FALSE(matches("\\S", space) || matches("[^\\s]", space)) << space;
  }
  EXPECT_FALSE(matches("\\s", "\u180e"));  // was one until Unicode 6.2
  EXPECT_TRUE(matches("^\\S$", "\u180e"));
}

// Time of this thread alone: what others do on the machine does not count.
double cpu_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

double seconds_to_encode(const Tokenizer& tokenizer, const std::string& text) {
  double best = 1e9;
  for (int i = 0; i < 3; ++i) {
    const double start = cpu_seconds();
    EXPECT_FALSE(tokenizer.encode(text, false).empty());
    best = std::min(best, cpu_seconds() - start);
  }
  return best;
}

std::string repeated(std::string_view unit, size_t times) {
  std::string text;
  for (size_t i = 0; i < times; ++i) text += unit;
  return text;
}

// BAD_INPUTS T6: under a second, twice the text in at most 2.5 times the time, on a stack of 256
// KiB.
void take_linear_time() {
  std::vector<std::shared_ptr<Tokenizer>> tokenizers{
      std::make_shared<BpeTokenizer>(bytes_tokenizer())};
  for (const char* name : {"gpt2", "llama2", "qwen2"}) {
    if (!test::lacks_shared(kTextFolder + name))
      tokenizers.push_back(load_tokenizer(kTextFolder + name));
  }
  for (const auto& tokenizer : tokenizers) {
    for (const auto& [unit, times] :
         std::vector<std::pair<std::string, size_t>>{{"A", 1 << 20},
                                                     {" ", 1 << 20},
                                                     {"\n", 1 << 20},
                                                     {"\u4e2d", (1 << 20) / 3},
                                                     {"Z", 131072},
                                                     {"a\u0301\u0323", 1 << 18},
                                                     {"\u0301\u0323", 1 << 18}}) {
      const std::string whole = repeated(unit, times), half = repeated(unit, times / 2);
      // A machine with others on it slows one of the two now and then, what grows with the square
      // is too slow every time. A millisecond is too short to compare.
      double seconds = 0, limit = 0;
      for (int attempt = 0; attempt < 5 && seconds >= limit; ++attempt) {
        limit = 2.5 * seconds_to_encode(*tokenizer, half) + 0.01;
        seconds = seconds_to_encode(*tokenizer, whole);
      }
      EXPECT_LT(seconds, limit) << tokenizer->kind() << " of " << unit;
      // Sanitizers take several times as long.
      EXPECT_LT(seconds, kSlow ? 10 : 1) << tokenizer->kind() << " of " << unit;
    }
  }
}

// What was freed is kept for the next attempt: how long the system takes to hand out pages, which
// begins to count somewhere between half a text and a whole one, is not what is measured.
void keep_freed_memory() {
#ifdef __GLIBC__
  mallopt(M_ARENA_MAX, 1);
  mallopt(M_MMAP_MAX, 0);
  mallopt(M_TRIM_THRESHOLD, std::numeric_limits<int>::max());
#endif
}

TEST(LongTexts, TakeLinearTimeOnASmallStack) {
  keep_freed_memory();
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  // Sanitizers put more on the stack.
  ASSERT_EQ(pthread_attr_setstacksize(&attributes, kSlow ? 2 << 20 : 256 << 10), 0);
  pthread_t thread{};
  const auto run = [](void*) -> void* {
    take_linear_time();
    return nullptr;
  };
  ASSERT_EQ(pthread_create(&thread, &attributes, run, nullptr), 0);
  pthread_join(thread, nullptr);
  pthread_attr_destroy(&attributes);
}

TEST(Encode, ManyThreadsMayShareATokenizer) {
  const BpeTokenizer tokenizer = bytes_tokenizer();
  const std::string text = "A  A\n\nAA \u00e9A <|end|> 1'sA";
  const Ids expected = tokenizer.encode(text, true);
  std::vector<std::thread> threads;
  std::vector<int> same(4);
  for (int& s : same) {
    threads.emplace_back([&] {
      for (int i = 0; i < 200; ++i) s += tokenizer.encode(text, true) == expected;
    });
  }
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(same, std::vector<int>(4, 200));
}

// Models have more rows than the tokenizer has tokens now and then, and choose one of them.
TEST(Decode, AnIdBehindTheVocabularyIsNothing) {
  const BpeTokenizer tokenizer = bytes_tokenizer();
  for (const int32_t id : {tokenizer.vocab_size(), INT32_MAX}) {
    EXPECT_EQ(tokenizer.decode(Ids{'a', id, 'b'}), "ab");
    EXPECT_EQ(streamed_text(tokenizer, {0xC3, id, 0xA9}), "\u00e9");
    EXPECT_EQ(tokenizer.decode(Ids{id}), "");
    test::expect_error(ErrorKind::invalid_argument, "outside the vocabulary",
                       [&] { tokenizer.token_text(id); });
  }
  for (const int32_t id : {-1, INT32_MIN}) {
    test::expect_error(ErrorKind::invalid_argument, "outside the vocabulary",
                       [&] { tokenizer.decode(Ids{id}); });
  }
}

}  // namespace
}  // namespace nibble
