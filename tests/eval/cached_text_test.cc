// A text that grows turn by turn: what was read is not read again, and the tokens are those that
// the whole text gives.
#include "nibble/eval/cached_text.h"

#include <gtest/gtest.h>

#include "nibble/model/architecture.h"
#include "tests/support/expect_error.h"
#include "tests/support/tiny_decoders.h"

namespace nibble {
namespace {

using TokenIds = std::vector<int32_t>;

GenerateOptions greedy(int64_t most) {
  GenerateOptions o;
  o.max_new_tokens = most;
  o.sampling.temperature = 0;
  return o;
}

TokenIds from_nothing(const Decoder& decoder, const TokenIds& prompt, const GenerateOptions& o) {
  PyRandom random(1);
  return generate(decoder, prompt, o, random, Exec{});
}

TokenIds joined_ids(TokenIds a, const TokenIds& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

class EveryCachedText : public ::testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(All, EveryCachedText,
                         ::testing::Values("llama", "gpt2", "gemma2", "mixtral", "lfm2"));

TEST_P(EveryCachedText, ReadsWhatIsNewAndChoosesTheSame) {
  const Decoder decoder = load_decoder(tiny_decoder(tiny_decoder_config(GetParam()), 3));
  CachedText text(decoder, DType::f32);
  PyRandom random(1);
  const GenerateOptions o = greedy(5);
  TokenIds prompt = {1, 2, 3, 4};
  int64_t read = 4;
  for (int turn = 0; turn < 3; ++turn) {
    SCOPED_TRACE(turn);
    const TokenIds answer = text.go_on(prompt, o, random, Exec{});
    EXPECT_EQ(answer, from_nothing(decoder, prompt, o));
    EXPECT_EQ(text.read(), read);
    // The last token chosen is not in the cache yet.
    prompt = joined_ids(joined_ids(prompt, answer), {7, 8, static_cast<int32_t>(9 + turn)});
    read = 4;
  }
}

TEST_P(EveryCachedText, ReadsAgainWhatHasChanged) {
  const Decoder decoder = load_decoder(tiny_decoder(tiny_decoder_config(GetParam()), 3));
  CachedText text(decoder, DType::f32);
  PyRandom random(1);
  const GenerateOptions o = greedy(4);
  text.go_on(TokenIds{1, 2, 3, 4, 5, 6}, o, random, Exec{});
  for (const auto& [prompt, read] : std::vector<std::pair<TokenIds, int64_t>>{
           {{1, 2, 3, 9, 5, 6, 7}, 4}, {{1, 2, 3, 9}, 1}, {{1, 2, 3, 9}, 1}, {{8}, 1}}) {
    EXPECT_EQ(text.go_on(prompt, o, random, Exec{}), from_nothing(decoder, prompt, o));
    EXPECT_EQ(text.read(), GetParam() == "lfm2" ? std::ssize(prompt) : read);
  }
}

TEST(CachedTextLimits, TheContextAndTheEnds) {
  const Decoder decoder = load_decoder(tiny_decoder(tiny_decoder_config("llama"), 3));
  CachedText text(decoder, DType::f32);
  PyRandom random(1);
  GenerateOptions o = greedy(1000);
  const TokenIds full(63, 1);
  EXPECT_EQ(text.go_on(full, o, random, Exec{}).size(), 2u);
  test::expect_error(ErrorKind::invalid_argument, "65 tokens does not fit the context of 64",
                     [&] { text.go_on(TokenIds(65, 1), o, random, Exec{}); });
  test::expect_error(ErrorKind::invalid_argument, "at least one token",
                     [&] { text.go_on(TokenIds{}, o, random, Exec{}); });
  EXPECT_EQ(text.go_on(TokenIds(64, 1), o, random, Exec{}).size(), 1u);
  const TokenIds first = text.go_on(TokenIds{5, 6}, greedy(3), random, Exec{});
  ASSERT_EQ(first.size(), 3u);
  EXPECT_EQ(text.go_on(TokenIds{5, 6}, greedy(3), random, Exec{}, [](int32_t) { return false; }),
            TokenIds{first[0]});
  o.stop = {first[0]};
  EXPECT_EQ(text.go_on(TokenIds{5, 6}, o, random, Exec{}), TokenIds{});
}

}  // namespace
}  // namespace nibble
