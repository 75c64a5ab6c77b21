#include "nibble/train/trainer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <fstream>

#include "nibble/core/cpu.h"
#include "nibble/core/error.h"
#include "nibble/core/random.h"
#include "nibble/text/char_tokenizer.h"
#include "nibble/train/decoder_step.h"
#include "nibble/train/initial_weights.h"
#include "nibble/train/presets.h"
#include "nibble/train/sampler.h"
#include "tests/support/shared.h"
#include "tests/train/tiny_runs.h"

namespace nibble {
namespace {

using namespace test;

// The same run in double, with the reference kernels and Adam, one chunk a step.
std::vector<double> losses_in_double(const TrainOptions& o, const Sequences& data) {
  const TrainOps<double>& ops = ref_train_ops_f64();
  const ParamLayout layout = make_layout(o.config);
  Buffer<double> weights(layout.size), first(layout.size), second(layout.size),
      gradient(layout.size), transposed(layout.transposed_size);
  PyRandom random(o.seed);
  draw_weights(layout, o.init_std, random, weights.data());
  Sampler sampler(data, o.seed, o.batch, o.config.context, o.random_windows);
  const auto view = view_of(layout, weights.data(), transposed.data());
  const auto slopes = slopes_of(layout, gradient.data());
  DecoderGradient<double> pass(layout.config, layout.plans, ops);
  Batch batch;
  std::vector<double> losses;
  for (int64_t step = 0; step < o.steps; ++step) {
    sampler.fill(step, batch);
    transpose_weights(layout, ops, weights.data(), transposed.data());
    const Chunk all{0, batch.sequences(), 0, batch.rows()};
    const double rows = static_cast<double>(batch.rows()), t = static_cast<double>(step + 1);
    gradient.clear();
    losses.push_back(pass.run(view, batch, all, 1 / rows, &slopes) / rows);
    const double rate =
        o.adam.learning_rate * (1 - static_cast<double>(step) / static_cast<double>(o.steps));
    ops.adam({rate, o.adam.beta1, o.adam.beta2, o.adam.eps, 1 / (1 - std::pow(o.adam.beta1, t)),
              1 / (1 - std::pow(o.adam.beta2, t)), 0, 1},
             layout.size, gradient.data(), first.data(), second.data(), weights.data());
  }
  return losses;
}

TEST(Trainer, FollowsTheDefinitionInDouble) {
  TrainOptions gpt2_like = gpt2_like_options(20);
  gpt2_like.adam = AdamOptions{};
  for (const TrainOptions& o : {micro_options(20), gpt2_like}) {
    const Sequences data = words(200, o.config.context);
    const std::vector<double> expected = losses_in_double(o, data);
    const TrainResult got = train(o, data);
    ASSERT_EQ(got.losses.size(), 20u);
    for (size_t i = 0; i < 20; ++i) EXPECT_NEAR(got.losses[i], expected[i], 1e-4) << i;
  }
}

TEST(Trainer, LearnsSomething) {
  const TrainResult r = train(micro_options(300), words(500, 16));
  EXPECT_GT(r.losses.front(), 3.0f);
  EXPECT_LT(r.losses.back(), 1.9f);
}

TEST(Trainer, SameBytesForAnyNumberOfThreads) {
  for (const TrainOptions& o : {micro_options(25), gpt2_like_options(25)}) {
    const Sequences data = words(200, o.config.context);
    const TrainResult one = train(o, data, 1);
    for (int threads : {2, 3, 4, 16}) expect_same_bytes(one, train(o, data, threads));
  }
}

TEST(Trainer, BatchOfOneAndShortSequences) {
  TrainOptions o = micro_options(5);
  o.batch = 1;
  expect_same_bytes(train(o, {{26, 26}}, 1), train(o, {{26, 26}}, 4));
}

TEST(Trainer, RandomWindowsStayInside) {
  TrainOptions o = micro_options(10);
  o.random_windows = true;
  const Sequences data = {words(40, 16)[3], std::vector<int32_t>(200, 3), {1, 2}};
  EXPECT_TRUE(std::isfinite(train(o, data).losses.back()));
  Sampler sampler(data, 1, 64, 16, true);
  Batch batch;
  sampler.fill(0, batch);
  EXPECT_EQ(batch.sequences(), 64);
  for (int64_t s = 0; s < 64; ++s) {
    EXPECT_LE(batch.starts[size_t(s) + 1] - batch.starts[size_t(s)], 16);
  }
}

TEST(Sampler, EveryEpochSeesEverySequenceOnceInAnotherOrder) {
  Sequences data;
  for (int32_t i = 0; i < 24; ++i) data.push_back({i, i});
  Sampler sampler(data, 1, 8, 16, false);
  std::vector<std::vector<int32_t>> epochs;
  for (int64_t step = 0; step < 6; ++step) {
    if (step % 3 == 0) epochs.emplace_back();
    Batch batch;
    sampler.fill(step, batch);
    epochs.back().insert(epochs.back().end(), batch.token.begin(), batch.token.end());
  }
  EXPECT_NE(epochs[0], epochs[1]);
  for (auto& epoch : epochs) {
    std::sort(epoch.begin(), epoch.end());
    for (int32_t i = 0; i < 24; ++i) EXPECT_EQ(epoch[size_t(i)], i);
  }
}

TEST(Chunks, CoverTheBatchInOrder) {
  PyRandom random(2);
  for (int sequences : {1, 2, 7, 32, 100}) {
    Batch batch;
    for (int i = 0; i < sequences; ++i) {
      batch.append(std::vector<int32_t>(2 + random.below(16), 1));
    }
    const std::vector<Chunk> chunks = cut_into_chunks(batch, 8);
    ASSERT_FALSE(chunks.empty());
    ASSERT_LE(chunks.size(), 8u);
    int64_t next = 0, row = 0;
    for (const Chunk& c : chunks) {
      EXPECT_EQ(c.begin, next);
      EXPECT_EQ(c.first_row, row);
      EXPECT_GT(c.rows, 0);
      next = c.end;
      row += c.rows;
    }
    EXPECT_EQ(next, batch.sequences());
    EXPECT_EQ(row, batch.rows());
  }
}

TEST(Trainer, HearsEveryStepAndStops) {
  const Sequences data = words(50, 16);
  Trainer trainer(micro_options(8), data);
  std::atomic<int> signal = 0;
  Exec exec;
  exec.stop_signal = &signal;
  std::vector<int64_t> heard;
  const auto hook = [&](const TrainStep& s) {
    heard.push_back(s.step);
    if (s.step == 5) signal = 2;
  };
  try {
    trainer.run(exec, hook);
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::cancelled);
    EXPECT_EQ(e.signal(), 2);
  }
  EXPECT_EQ(heard, (std::vector<int64_t>{1, 2, 3, 4, 5}));
  EXPECT_EQ(trainer.step(), 5);
}

TEST(Trainer, RefusesOptionsNoRunCanHave) {
  const Sequences data = words(5, 16);
  const auto refused = [&](auto change) {
    TrainOptions o = micro_options(10);
    change(o);
    EXPECT_THROW(Trainer(o, data), Error);
  };
  refused([](TrainOptions& o) { o.steps = 0; });
  refused([](TrainOptions& o) { o.batch = 0; });
  refused([](TrainOptions& o) { o.batch = -5; });
  refused([](TrainOptions& o) { o.adam.learning_rate = 0; });
  refused([](TrainOptions& o) { o.adam.learning_rate = NAN; });
  refused([](TrainOptions& o) { o.adam.beta1 = 1; });
  refused([](TrainOptions& o) { o.adam.warmup_steps = 10; });
  refused([](TrainOptions& o) { o.config.vocab_size = 20; });
  refused([](TrainOptions& o) { o.config.context = 2; });
  refused([](TrainOptions& o) { o.config.heads = 0; });
  EXPECT_THROW(Trainer(micro_options(10), {}), Error);
  EXPECT_THROW(Trainer(micro_options(10), {{1}}), Error);
}

TEST(Trainer, SaysThatItDiverged) {
  const Sequences data = words(50, 16);
  TrainOptions o = micro_options(200);
  o.adam.learning_rate = 900;
  o.adam.weight_decay = 100;  // each step multiplies the weights by -90,000
  try {
    train(o, data);
    FAIL() << "no Error";
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::invalid_argument);
    EXPECT_NE(std::string(e.what()).find("smaller learning rate"), std::string::npos);
  }
}

double heldout_loss(const TrainResult& trained, const DecoderConfig& config,
                    const Sequences& heldout) {
  const ParamLayout layout = make_layout(config);
  Buffer<float> weights(layout.size), transposed(layout.transposed_size);
  for (size_t i = 0; i < layout.table.size(); ++i) {
    const auto from = trained.weights.at(layout.table[i].name).data<float>();
    std::copy(from.begin(), from.end(), weights.data() + layout.offsets[i]);
  }
  const TrainOps<float>& ops = best_train_ops();
  transpose_weights(layout, ops, weights.data(), transposed.data());
  const auto view = view_of(layout, weights.data(), transposed.data());
  DecoderGradient<float> pass(layout.config, layout.plans, ops);
  double sum = 0;
  int64_t rows = 0;
  for (const auto& ids : heldout) {
    Batch batch;
    batch.append(ids);
    sum += pass.run(view, batch, {0, 1, 0, batch.rows()}, 1, nullptr);
    rows += batch.rows();
  }
  return sum / static_cast<double>(rows);
}

// Whose vocabulary is another one.
std::vector<std::string_view> all_but_micro_gpt() {
  std::vector<std::string_view> out = architecture_names();
  std::erase(out, "micro_gpt");
  return out;
}

// What the trainer computes is what the model that comes of it gives.
class Trained : public testing::TestWithParam<std::string_view> {};

TEST_P(Trained, LearnsAndIsTheDecodersOwn) {
  const TrainOptions o = options_of(std::string(GetParam()), 100);
  const Sequences data = words(200, 16);
  const TrainResult got = train(o, data, 2);
  EXPECT_GT(got.losses.front(), 3.2F);
  EXPECT_LT(got.losses.back(), 2.2F);
  expect_same_bytes(got, train(o, data, 1));
  const Sequences heldout = {data[7], data[11], data[13]};
  const Model model = in_memory(o.config, got.weights, CharTokenizer::from_text(kTinyText, true));
  EXPECT_NEAR(heldout_loss(got, o.config, heldout), mean_loss(model, heldout), 1e-5);
}

INSTANTIATE_TEST_SUITE_P(Trainer, Trained, testing::ValuesIn(all_but_micro_gpt()),
                         [](const auto& each) { return std::string(each.param); });

// MICROGPT section 3: what the original architecture reaches on the deduplicated split.
TEST(Trainer, ReachesTheKnownHeldOutLoss) {
  const std::string names = "../shared/data/text/names.txt";
  if (test::lacks_shared(names)) GTEST_SKIP() << names;
  std::ifstream in(names, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  const SequenceData data = line_sequences(text, CharTokenizer::from_text(text, true), 16, 42);
  const std::pair<int64_t, double> known[] = {{1000, 2.215}, {10000, 2.127}};
  for (const auto& [steps, expected] : known) {
    TrainOptions o = micro_options(steps);
    o.batch = 16;
    const double loss = heldout_loss(train(o, data.train), o.config, data.heldout);
    EXPECT_NEAR(loss, expected, 0.01) << steps << " steps";
  }
}

// The trainer once more under each cap the machine can run: the losses hardly differ.
TEST(Trainer, LossesUnderEveryIsa) {
  const TrainOptions o = micro_options(20);
  const Sequences data = words(200, 16);
  const ParamLayout layout = make_layout(o.config);
  const TrainResult best = train(o, data);
  std::vector<const TrainOps<float>*> all = {&ref_train_ops_f32()};
#if defined(__x86_64__)
  if ((cpu().bits & kAvx2) != 0) all.push_back(&avx2_train_ops());
  if ((cpu().bits & kAvx512) != 0) all.push_back(&avx512_train_ops());
#endif
  for (const TrainOps<float>* ops : all) {
    DecoderStep decoder(layout, *ops);
    PyRandom random(o.seed);
    draw_weights(layout, o.init_std, random, decoder.runner.weights.data());
    Sampler sampler(data, o.seed, o.batch, o.config.context, false);
    Batch batch;
    for (int64_t step = 0; step < o.steps; ++step) {
      sampler.fill(step, batch);
      const double t = double(step + 1), rate = 0.01 * (1 - double(step) / double(o.steps));
      const TrainAdam<float> adam{float(rate),
                                  0.85f,
                                  0.99f,
                                  1e-8f,
                                  float(1 / (1 - std::pow(0.85, t))),
                                  float(1 / (1 - std::pow(0.99, t))),
                                  0,
                                  1};
      EXPECT_NEAR(decoder.step(batch, adam, 0, 1), best.losses[size_t(step)], 1e-4) << ops->name;
    }
  }
}

}  // namespace
}  // namespace nibble
