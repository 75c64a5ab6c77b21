// Generating: in chunks, beyond the context, several texts at a time, always the same tokens.
#include "nibble/eval/generation.h"

#include <gtest/gtest.h>

#include <cmath>

#include "nibble/core/error.h"
#include "nibble/model/shapes.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_folder.h"
#include "tests/support/tiny_model.h"

namespace nibble {
namespace {

using Ids = std::vector<int32_t>;

class Generation : public ::testing::Test {
 protected:
  Generation()
      : folder_(open_model(write_tiny_model(files_ / "m"))), model_(load_decoder(folder_)) {}

  Ids alone(const Ids& prompt, uint64_t seed, const GenerateOptions& o) const {
    PyRandom random(seed);
    return generate(model_, prompt, o, random, Exec{});
  }
  int64_t context() const { return model_.config().context; }

  test::TempFolder files_;
  Model folder_;
  Decoder model_;
};

TEST_F(Generation, ChunksGiveTheSameLogits) {
  const Ids ids = {1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2};
  KvCache whole = model_.make_cache(context());
  const auto expected = model_.forward(ids, whole, Decoder::Logits::last, Exec{});
  Session session(model_);
  for (const int64_t chunk : {1, 2, 3, 5, 10, 11, 512}) {
    KvCache cache = model_.make_cache(context());
    const auto logits = prefill(session, ids, cache, chunk, Exec{});
    ASSERT_EQ(logits.size(), expected.size());
    EXPECT_EQ(cache.length(), 11);
    for (size_t i = 0; i < logits.size(); ++i) EXPECT_NEAR(logits[i], expected[i], 1e-4) << chunk;
  }
  KvCache cache = model_.make_cache(context());
  test::expect_error(ErrorKind::invalid_argument, "`prefill_chunk` 0",
                     [&] { prefill(session, ids, cache, 0, Exec{}); });
}

TEST_F(Generation, ABatchGivesWhatEachGivesAlone) {
  GenerateOptions o;
  o.sampling.temperature = 0.8;
  o.max_new_tokens = 6;
  o.stop = {3};
  std::vector<GenerateRequest> requests;
  for (uint64_t i = 0; i < 9; ++i) {
    Ids prompt;
    for (uint64_t j = 0; j <= i % 4; ++j) prompt.push_back(static_cast<int32_t>((5 * i + j) % 12));
    requests.push_back({prompt, i, {}, i % 3 == 0 ? int64_t{9} : 0});
  }
  const BatchResult batch = generate_batch(model_, requests, o, Exec{});
  ASSERT_EQ(batch.ids.size(), requests.size());
  int64_t prompts = 0, made = 0;
  for (size_t i = 0; i < requests.size(); ++i) {
    GenerateOptions mine = o;
    if (requests[i].max_new_tokens > 0) mine.max_new_tokens = requests[i].max_new_tokens;
    EXPECT_EQ(batch.ids[i], alone(requests[i].prompt, requests[i].seed, mine)) << i;
    prompts += static_cast<int64_t>(requests[i].prompt.size());
    made += static_cast<int64_t>(batch.ids[i].size());
  }
  EXPECT_EQ(batch.prompt_tokens, prompts);
  EXPECT_EQ(batch.new_tokens, made);
  EXPECT_GT(batch.prefill_seconds, 0);
}

TEST_F(Generation, HooksOfABatchStopTheirOwnText) {
  std::vector<Ids> heard(3);
  std::vector<GenerateRequest> requests;
  for (size_t i = 0; i < 3; ++i) {
    requests.push_back({{1}, i, [&heard, i](int32_t id) {
                          heard[i].push_back(id);
                          return heard[i].size() < i + 2;
                        }});
  }
  GenerateOptions o;
  o.max_new_tokens = 8;
  const BatchResult batch = generate_batch(model_, requests, o, Exec{});
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(batch.ids[i], heard[i]);
    EXPECT_EQ(heard[i].size(), i + 2);
  }
}

TEST_F(Generation, OverflowNamesBothLengths) {
  GenerateOptions o;
  o.max_new_tokens = 100;
  test::expect_error(ErrorKind::invalid_argument,
                     "a prompt of 2 tokens and 100 new ones do not fit the context of 16", [&] {
                       alone({1, 2}, 1, o);
                     });
  const Ids longer(20, 1);
  test::expect_error(ErrorKind::invalid_argument,
                     "a prompt of 20 tokens does not fit the context of 16: shorten it",
                     [&] { alone(longer, 1, o); });
  test::expect_error(ErrorKind::invalid_argument, "at least one token", [&] { alone({}, 1, o); });
}

TEST_F(Generation, ShiftGoesOnBeyondTheContext) {
  GenerateOptions o;
  o.sampling.temperature = 0;
  o.max_new_tokens = 60;
  o.shift = true;
  const Ids made = alone({1, 2}, 1, o);
  ASSERT_EQ(made.size(), 60u);
  // What does not overflow is what it is without.
  GenerateOptions plain;
  plain.sampling.temperature = 0;
  plain.max_new_tokens = context() - 1;
  const Ids before = alone({1, 2}, 1, plain);
  EXPECT_TRUE(std::equal(before.begin(), before.end(), made.begin()));
  // Behind the first shift the model sees the first token and the newer half.
  Ids all = {1, 2};
  all.insert(all.end(), made.begin(), made.end());
  const auto full = static_cast<ptrdiff_t>(context()) + 1;  // the token that does not fit as well
  const ptrdiff_t dropped = (context() - 1) / 2;
  Ids window = {1};
  window.insert(window.end(), all.begin() + 1 + dropped, all.begin() + full);
  GenerateOptions one = plain;
  one.max_new_tokens = 1;
  EXPECT_EQ(alone(window, 1, one).front(), all[static_cast<size_t>(full)]);
}

TEST_F(Generation, ShiftCutsAPromptThatIsTooLong) {
  GenerateOptions o;
  o.max_new_tokens = 40;
  o.shift = true;
  Ids prompt(50);
  for (size_t i = 0; i < prompt.size(); ++i) prompt[i] = static_cast<int32_t>(i % 12);
  EXPECT_EQ(alone(prompt, 1, o).size(), 40u);
  const BatchResult batch =
      generate_batch(model_, {{prompt, 1, {}}, {{3}, 2, {}}, {prompt, 5, {}}}, o, Exec{});
  EXPECT_EQ(batch.ids[0], alone(prompt, 1, o));
  EXPECT_EQ(batch.ids[1], alone({3}, 2, o));
  EXPECT_EQ(batch.ids[2], alone(prompt, 5, o));
}

TEST_F(Generation, ACacheInF16HardlyChangesAnything) {
  GenerateOptions o;
  o.max_new_tokens = 8;
  o.sampling.temperature = 0;
  o.kv = DType::f16;
  EXPECT_EQ(alone({1, 2}, 1, o).size(), 8u);
  o.kv = DType::i64;
  test::expect_error(ErrorKind::unsupported, "KV cache", [&] { alone({1, 2}, 1, o); });
}

}  // namespace
}  // namespace nibble
