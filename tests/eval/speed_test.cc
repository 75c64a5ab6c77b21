// Reading and writing are timed as often as asked, each model in its turn.
#include "nibble/eval/speed.h"

#include <gtest/gtest.h>

#include "tests/support/expect_error.h"
#include "tests/support/tiny_decoders.h"

namespace nibble {
namespace {

TEST(MeasureSpeed, RatesAreTokensByTheMedian) {
  const Decoder model = load_decoder(tiny_decoder(tiny_decoder_config("llama"), 1));
  SpeedOptions o;
  o.prefill = 20, o.decode = 5, o.runs = 3, o.sequences = 2;
  const SpeedResult r = measure_speed(model, o, Exec{});
  EXPECT_EQ(r.prefill.runs(), 3);
  EXPECT_EQ(r.decode.runs(), 3);
  EXPECT_GT(r.prefill.minimum(), 0);
  EXPECT_DOUBLE_EQ(r.prefill_tokens_per_second, 20 / r.prefill.median());
  EXPECT_DOUBLE_EQ(r.decode_tokens_per_second, 2 * 5 / r.decode.median())
      << "tokens of both sequences";
}

TEST(MeasureSpeed, TimesEachModelInEachRound) {
  const Decoder one = load_decoder(tiny_decoder(tiny_decoder_config("llama"), 1)),
                other = load_decoder(tiny_decoder(tiny_decoder_config("gpt2"), 1));
  const Decoder* models[] = {&one, &other, &one};
  SpeedOptions o;
  o.prefill = 4, o.decode = 2, o.runs = 4, o.warmup = 0, o.kv = DType::i8;
  const auto all = measure_speed(models, o, Exec{});
  ASSERT_EQ(all.size(), 3u);
  for (const SpeedResult& r : all) {
    EXPECT_EQ(r.prefill.runs(), 4);
    EXPECT_EQ(r.waited_share, all[0].waited_share) << "of the rounds, not of a model";
  }
}

TEST(MeasureSpeed, RefusesWhatTheContextDoesNotHold) {
  const Decoder model = load_decoder(tiny_decoder(tiny_decoder_config("llama"), 1));
  SpeedOptions o;
  o.prefill = 60, o.decode = 5;
  test::expect_error(ErrorKind::invalid_argument,
                     "a prefill of 60 and a decode of 5 tokens do not fit the context of 64",
                     [&] { measure_speed(model, o, Exec{}); });
  o.decode = 4, o.runs = 1;
  EXPECT_EQ(measure_speed(model, o, Exec{}).decode.runs(), 1);
}

TEST(MeasureSpeed, MemoryHeldOnlyGrows) {
  const int64_t before = peak_memory_bytes();
  EXPECT_GT(before, 1 << 20);
  EXPECT_GE(peak_memory_bytes(), before);
}

}  // namespace
}  // namespace nibble
