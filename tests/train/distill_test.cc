// Learning from a teacher's probabilities, from some of the targets only, and with activations that
// are computed again.
#include <gtest/gtest.h>

#include <algorithm>

#include "nibble/train/sampler.h"
#include "nibble/train/teacher.h"
#include "tests/train/gradient_check.h"
#include "tests/train/tiny_runs.h"

namespace nibble {
namespace {

using namespace test;

DecoderConfig small_config(const char* type) {
  DecoderConfig c = tiny_decoder_config(type);
  c.context = 6;
  return c;
}

class Distillation : public testing::TestWithParam<const char*> {};

TEST_P(Distillation, GradientsOfTheDivergence) {
  const DecoderConfig config = small_config(GetParam());
  DecoderConfig teacher = small_config("qwen3");
  teacher.vocab_size = config.vocab_size;
  for (const double share : {1.0, 0.3, 0.0}) {
    GradientCheck check(config, ref_train_ops_f64());
    if (share < 1) check.skip_targets();
    check.teach(teacher, share);
    EXPECT_LT(check.worst_error(7), kWorstGradient) << share;
  }
}

TEST_P(Distillation, NothingIsLearntFromOneself) {
  const DecoderConfig config = small_config(GetParam());
  GradientCheck check(config, ref_train_ops_f64());
  check.teach(config, 1);
  EXPECT_GT(check.loss(), 0.01);
  check.learn_from_itself();
  EXPECT_NEAR(check.loss(), 0, 1e-12);
}

TEST_P(Distillation, TheLabelsShareIsTheLabelsLoss) {
  const DecoderConfig config = small_config(GetParam());
  GradientCheck check(config, ref_train_ops_f64());
  const double labels = check.loss();
  check.teach(config, 0);
  EXPECT_NEAR(check.loss(), labels, 1e-12);
}

TEST_P(Distillation, RecomputedActivationsGiveTheSameGradients) {
  const DecoderConfig config = small_config(GetParam());
  GradientCheck check(config, ref_train_ops_f64(), true);
  EXPECT_LT(check.worst_error(7), kWorstGradient);
}

TEST(ExpertBalance, GradientsOfTheLossThatKeepsThemBusy) {
  for (const bool recompute : {false, true}) {
    GradientCheck check(small_config("mixtral"), ref_train_ops_f64(), recompute);
    const double without = check.loss();
    check.balance(0.5);
    EXPECT_GT(check.loss(), without + 0.4) << "it is 1 at least, times the experts of a row";
    EXPECT_LT(check.worst_error(5), kWorstGradient);
  }
}

INSTANTIATE_TEST_SUITE_P(Train, Distillation,
                         testing::Values("gpt2", "llama", "mixtral", "gemma2", "lfm2"));

TEST(Training, RecomputingChangesNoByteAndPiecesNoMuch) {
  const Sequences data = words(200, 16);
  for (const char* type : {"gpt2", "gemma2", "mixtral"}) {
    TrainOptions o = options_of(type, 20);
    o.batch = 64;
    const TrainResult plain = train(o, data);
    o.step.recompute = true;
    expect_same_bytes(plain, train(o, data, 2));
    o.step.accumulate = 4;
    const TrainResult pieces = train(o, data);
    expect_same_bytes(pieces, train(o, data, 3));
    for (size_t i = 0; i < plain.losses.size(); ++i)
      EXPECT_NEAR(pieces.losses[i], plain.losses[i], 2e-3) << type << i;
  }
}

TEST(Training, LearnsFromATeacher) {
  const Sequences data = words(300, 16), heldout = {data[7], data[11], data[13]};
  const TrainOptions big = options_of("llama", 200);
  const TrainResult known = train(big, data);
  TrainOptions o = options_of("gpt2", 200);
  const auto load = [&](const ParamSpec& p) -> Weight { return known.weights.at(p.name); };
  o.step.teacher = std::make_shared<Teacher>(big.config, load, best_train_ops());
  Trainer trainer(o, data);
  const auto before = trainer.measure(heldout, Exec{});
  trainer.run(Exec{});
  const auto after = trainer.measure(heldout, Exec{});
  EXPECT_GT(before.divergence, 1);
  EXPECT_LT(after.divergence, 0.2 * before.divergence);
  EXPECT_LT(after.loss, before.loss);
}

TEST(Training, CorruptedTokensFollowFromSeedAndStep) {
  Batch a, b, c;
  for (Batch* batch : {&a, &b, &c}) batch->append(std::vector<int32_t>(1001, 5));
  corrupt_tokens(a, 0.3, 27, 1, 4);
  corrupt_tokens(b, 0.3, 27, 1, 4);
  corrupt_tokens(c, 0.3, 27, 1, 5);
  EXPECT_EQ(a.token, b.token);
  EXPECT_NE(a.token, c.token);
  EXPECT_EQ(a.target, std::vector<int32_t>(1000, 5));
  const auto changed =
      std::count_if(a.token.begin(), a.token.end(), [](int32_t t) { return t != 5; });
  EXPECT_NEAR(static_cast<double>(changed), 0.3 * 26 / 27 * 1000, 60);
  TrainOptions o = options_of("llama", 5);
  o.step.corrupt = 0.1;
  EXPECT_THROW(Trainer(o, words(40, 16)), Error) << "labels say nothing of other texts";
}

// What is not to be learnt is read all the same, and has no loss.
TEST(Training, LearnsWhatItIsToldToLearn) {
  const TrainOptions o = options_of("llama", 5);
  Sequences data = words(40, 16);
  for (std::vector<int32_t>& ids : data)
    for (size_t i = 1; i + 2 < ids.size(); ++i) ids[i] = unlearnt(ids[i]);
  Trainer trainer(o, data);
  const auto measured = trainer.measure({data[0], data[1]}, Exec{});
  EXPECT_EQ(measured.targets, 4);
  trainer.run(Exec{});
  Sequences none = data;
  for (int32_t& id : none[0]) id = id < 0 ? id : unlearnt(id);
  EXPECT_THROW(Trainer(o, {none[0]}), Error);
}

}  // namespace
}  // namespace nibble
