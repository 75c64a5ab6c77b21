// train() of a model that is there already: going on, for low bits, from a teacher.
#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <filesystem>
#include <fstream>

#include "nibble/compress/quantize.h"
#include "nibble/core/files.h"
#include "nibble/core/json.h"
#include "nibble/eval/perplexity.h"
#include "nibble/jobs/train.h"
#include "nibble/text/line_data.h"
#include "tests/jobs/models.h"
#include "tests/support/expect_error.h"
#include "tests/support/shared.h"
#include "tests/support/temp_folder.h"
#include "tests/support/tiny_decoders.h"

namespace nibble {
namespace {

using test::expect_error;

class TrainOn : public testing::Test {
 protected:
  TrainOn() { in_ = test::write_reader(folder_ / "in"); }

  TrainJob job(const std::string& out = "") const {
    TrainJob job;
    job.from = in_;
    job.text = {"text", test::reader_text()};
    job.out = out.empty() ? "" : folder_ / out;
    job.steps = 30;
    job.batch = 4;
    job.learning_rate = 1e-2;
    job.samples = 0;
    return job;
  }
  double loss_of(const std::string& name) const {
    const Model model = open_model(folder_ / name);
    const auto data = sequences(test::reader_text(), model.require_tokenizer(),
                                model.decoder_config().context, 42);
    return measure_loss(logits_of(load_decoder(model)), all_scored(data.heldout), {}, "").loss;
  }
  std::string bytes(const std::string& name) const {
    return read_file(folder_ / (name + "/model.safetensors"));
  }

  const test::TempFolder folder_;
  std::string in_;
};

TEST_F(TrainOn, LearnsAndWritesAnOrdinaryFolder) {
  const double before = loss_of("in");
  const TrainSummary r = train(job("out"), {});
  EXPECT_EQ(r.heldout_loss, loss_of("out"));
  EXPECT_LT(r.heldout_loss, before - 0.3);
  ASSERT_GE(r.looks.size(), 2u);
  EXPECT_NEAR(r.looks.front().loss, before, 1e-4);
  EXPECT_NEAR(r.looks.back().loss, r.heldout_loss, 1e-4);
  EXPECT_FALSE(std::filesystem::exists(folder_ / "out.resume"));
  EXPECT_FALSE(is_quantized(open_model(folder_ / "out")));
  EXPECT_EQ(open_model(folder_ / "out").config, open_model(in_).config);
}

// What is written is what training saw: the packed model has the loss of the last look.
TEST_F(TrainOn, QuantizedWhileItIsTrained) {
  for (const char* scheme : {"int2:g8", "int3:g8:asym", "ternary:g8", "nf4:g32"}) {
    TrainJob j = job("q");
    j.force = true;
    j.qat.scheme = scheme;
    j.qat.also = {"lm_head", "embeddings"};
    const TrainSummary r = train(j, {});
    EXPECT_EQ(r.heldout_loss, loss_of("q")) << scheme;
    EXPECT_NEAR(r.looks.back().loss, r.heldout_loss, 1e-4) << scheme;
    EXPECT_LT(r.heldout_loss, loss_of("in") - 0.3) << scheme;
    EXPECT_LT(r.bits_per_weight, 7) << scheme;
    EXPECT_TRUE(is_quantized(open_model(folder_ / "q")));
  }
}

TEST_F(TrainOn, RefusesWhatTheOutputCannotHoldBeforeAnyStep) {
  TrainJob j = job("q");
  j.qat.scheme = "q4_1";
  Exec exec;
  exec.progress = [](const Progress& p) { EXPECT_NE(p.task, "train"); };
  expect_error(ErrorKind::unsupported, "name the output NAME.gguf", [&] { train(j, exec); });
  EXPECT_FALSE(std::filesystem::exists(folder_ / "q"));
  j.out = folder_ / "q.gguf";
  expect_error(ErrorKind::unsupported, "", [&] { train(j, exec); });
}

// Block types that only GGUF files have.
TEST(TrainOnGguf, IsWrittenAsAFile) {
  const std::string from = "../shared/data/models/stories260k";
  if (test::lacks_shared(from)) GTEST_SKIP() << from;
  const test::TempFolder folder;
  TrainJob j;
  j.from = from;
  j.text = {"text",
            "Once upon a time there was a little girl. She was happy. " + test::reader_text()};
  j.out = folder / "m.gguf";
  j.steps = 3;
  j.batch = 2;
  j.samples = 0;
  j.qat.scheme = "q4_1";
  j.qat.keep = {"*down_proj*"};
  const TrainSummary r = train(j, {});
  const Model made = open_model(j.out);
  EXPECT_EQ(made.weights->get("model.layers.0.self_attn.q_proj.weight").stored_as(), "q4_1");
  EXPECT_NEAR(r.looks.back().loss, r.heldout_loss, 1e-3);
  EXPECT_FALSE(std::filesystem::exists(j.out + ".resume"));
}

TEST_F(TrainOn, BeginsWithTheCodesOfAQuantizedModelAndItsTeacher) {
  QuantizeOptions options;
  options.scheme = parse_scheme("int2:g8");
  quantize_model(in_, folder_ / "two", options, {});
  TrainJob j = job("better");
  j.from = folder_ / "two";
  j.qat.scheme = "int2:g8";
  j.distill = in_;
  j.steps = 150;
  const TrainSummary r = train(j, {});
  EXPECT_TRUE(r.distilled);
  EXPECT_NEAR(r.looks.front().loss, loss_of("two"), 1e-4) << "the same codes and scales";
  EXPECT_GT(r.looks.front().divergence, 0.01);
  EXPECT_LT(r.looks.back().divergence, 0.7 * r.looks.front().divergence);
  const Model a = open_model(folder_ / "better"), b = open_model(folder_ / "two");
  EXPECT_EQ(scheme_summary(a), scheme_summary(b));
}

TEST_F(TrainOn, StopsEarlyWithTheBestWeights) {
  TrainJob j = job("out");
  j.steps = 400;
  j.learning_rate = 0.3;  // far too much: it gets worse
  j.eval_every = 5;
  j.patience = 3;
  const TrainSummary r = train(j, {});
  EXPECT_TRUE(r.stopped_early);
  EXPECT_LT(r.steps, 400);
  float best = r.looks.front().loss;
  for (const HeldoutLook& look : r.looks) best = std::min(best, look.loss);
  EXPECT_NEAR(r.heldout_loss, best, 1e-4);
  EXPECT_LT(best, r.looks.back().loss);
}

// Floats that are going to be quantized are no result, however good: patience begins with
// quantization.
TEST_F(TrainOn, FloatsBeforeQuantizationAreNotTheBest) {
  TrainJob j = job("out");
  j.steps = 60;
  j.qat.scheme = "int2:g8";
  j.qat.begin = 40;
  j.eval_every = 5;
  j.patience = 2;
  const TrainSummary r = train(j, {});
  EXPECT_GT(r.steps, 40);
  float best = 1e9f, floats = 1e9f;
  for (const HeldoutLook& look : r.looks) {
    float& lowest = look.step < 40 ? floats : best;
    lowest = std::min(lowest, look.loss);
  }
  EXPECT_LT(floats, best) << "or this test shows nothing";
  EXPECT_NEAR(r.heldout_loss, best, 1e-4);
  EXPECT_TRUE(is_quantized(open_model(folder_ / "out")));
}

TEST_F(TrainOn, WhatIsFrozenKeepsItsCodesAndScales) {
  QuantizeOptions options;
  options.scheme = parse_scheme("int3:g8");
  quantize_model(in_, folder_ / "three", options, {});
  TrainJob j = job("out");
  j.from = folder_ / "three";
  j.qat.scheme = "int3:g8";
  j.freeze = {"*attn*"};
  train(j, {});
  const Model before = open_model(j.from), after = open_model(folder_ / "out");
  int64_t same = 0;
  for (const ParamSpec& p : parameter_table(before.config)) {
    if (!p.is_matrix() || p.layer < 0) continue;
    const bool stays = glob_match("*attn*", p.name);
    EXPECT_EQ(load_weight(before, p).values() == load_weight(after, p).values(), stays) << p.name;
    same += stays ? 1 : 0;
  }
  EXPECT_GT(same, 0);
}

TEST_F(TrainOn, LooksWhereItIsAskedTo) {
  TrainJob j;
  j.preset = "micro";
  j.text = {"tiny", kTinyText};
  j.steps = 6;
  j.batch = 2;
  j.samples = 0;
  EXPECT_TRUE(train(j, {}).looks.empty());
  j.eval_every = 2;
  EXPECT_EQ(train(j, {}).looks.size(), 4u);
}

TEST_F(TrainOn, NamesWhatIsToBlame) {
  TrainJob j = job();
  const Model good = open_model(in_);
  WeightMap weights;
  for (const ParamSpec& p : parameter_table(good.config)) weights[p.name] = load_weight(good, p);
  Tensor bad = weights.begin()->second.floats();
  bad = Tensor::from<float>(bad.shape(), std::vector<float>(bad.data<float>().size(), NAN));
  weights.begin()->second = bad;
  j.from = test::write_reader(folder_ / "nan");
  std::vector<WritableParameter> parameters;
  for (const ParamSpec& p : parameter_table(good.config))
    parameters.push_back({p, {}, DType::f32, [&weights, p] { return weights.at(p.name); }});
  write_model(j.from, good.config, parameters, nullptr);
  expect_error(ErrorKind::corrupt, j.from + ": tensor ", [&] { train(j, {}); });
  j = job();
  j.text.text = "";
  expect_error(ErrorKind::corrupt, "text: ", [&] { train(j, {}); });
  j = job();
  j.learning_rate = 90;
  j.weight_decay = 100;  // each step multiplies the weights by -9,000
  j.steps = 200;
  try {
    train(j, {});
    ADD_FAILURE() << "it must diverge";
  } catch (const Error& e) {
    EXPECT_NE(std::string_view(e.what()).find("smaller learning rate"), std::string_view::npos);
    EXPECT_FALSE(std::string_view(e.what()).starts_with("text:")) << e.what();
  }
}

// A config.json whose decoder reads by another folder's tokenizer.
TEST_F(TrainOn, AConfigWithATokenizer) {
  TrainJob j = job("out");
  j.from = "";
  j.preset = "config.json";
  j.config = tiny_decoder_config("llama");
  j.tokenizer = in_;
  j.steps = 120;
  train(j, {});
  const Model made = open_model(folder_ / "out");
  EXPECT_EQ(made.decoder_config().architecture, "llama");
  EXPECT_EQ(made.require_tokenizer().vocab_size(),
            open_model(in_).require_tokenizer().vocab_size());
  EXPECT_NO_THROW(load_decoder(made));
}

TEST_F(TrainOn, StoppedAndResumedItEndsWithTheSameBytes) {
  TrainJob j = job("whole");
  j.qat.scheme = "int2:g8";
  j.eval_every = 4;
  j.patience = 20;
  train(j, {});
  for (const int64_t stop : {1, 9, 17, 29}) {
    TrainJob part = j;
    part.out = folder_ / "part";
    part.force = true;
    std::atomic<int> signal = 0;
    Exec exec;
    exec.stop_signal = &signal;
    exec.progress = [&](const Progress& p) {
      if (p.task == "train" && p.done == stop) signal = 15;
    };
    expect_error(ErrorKind::cancelled, "", [&] { train(part, exec); });
    part.resume = true;
    const TrainSummary r = train(part, {});
    EXPECT_EQ(r.resumed_from, folder_ / "part.resume");
    EXPECT_EQ(bytes("part"), bytes("whole")) << stop;
  }
}

TEST_F(TrainOn, ACheckpointIsOfItsOwnBeginning) {
  TrainJob j = job("out");
  std::atomic<int> signal = 0;
  Exec exec;
  exec.stop_signal = &signal;
  exec.progress = [&](const Progress& p) { signal = p.task == "train" && p.done == 3 ? 2 : 0; };
  expect_error(ErrorKind::cancelled, "", [&] { train(j, exec); });
  j.resume = true;
  j.from = folder_ / "other";
  std::filesystem::copy(in_, j.from);
  {
    std::fstream file(j.from + "/model.safetensors",
                      std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(-2, std::ios::end);
    file.put('\x3e');
  }
  expect_error(ErrorKind::corrupt, "other options", [&] { train(j, {}); });
}

TEST_F(TrainOn, LogsEveryStepAndLook) {
  TrainJob j = job();
  j.log = folder_ / "log.jsonl";
  j.steps = 6;
  j.eval_every = 3;
  train(j, {});
  std::ifstream in(j.log);
  int64_t steps = 0, looks = 0;
  for (std::string line; std::getline(in, line);) {
    const JsonFields fields = JsonFields::parse(line);
    fields.contains("heldout_loss") ? ++looks : ++steps;
    EXPECT_TRUE(fields.contains("step"));
  }
  EXPECT_EQ(steps, 6);
  EXPECT_EQ(looks, 3);
}

TEST_F(TrainOn, MoreBatchesOfAStepAreOneStep) {
  TrainJob j = job("a");
  j.batch = 8;
  const TrainSummary one = train(j, {});
  j.batch = 2;
  j.accumulate = 4;
  j.out = folder_ / "b";
  const TrainSummary four = train(j, {});
  EXPECT_EQ(four.batch, 8);
  EXPECT_EQ(one.train_tokens, four.train_tokens);
  EXPECT_NEAR(one.heldout_loss, four.heldout_loss, 1e-3);
}

TEST_F(TrainOn, WhatIsFrozenStays) {
  TrainJob j = job("out");
  j.freeze = {"wte*", "*attn*"};
  j.weight_decay = 0.1;
  train(j, {});
  const Model before = open_model(in_), after = open_model(folder_ / "out");
  int64_t same = 0, moved = 0;
  for (const ParamSpec& p : parameter_table(before.config)) {
    const bool stays = glob_match("wte*", p.name) || glob_match("*attn*", p.name);
    EXPECT_EQ(load_weight(before, p).values() == load_weight(after, p).values(), stays) << p.name;
    ++(stays ? same : moved);
  }
  EXPECT_GT(same, 1);
  EXPECT_GT(moved, 1);
  j.force = true;
  j.freeze = {"nothing*"};
  expect_error(ErrorKind::invalid_argument, "no parameter has such a name", [&] { train(j, {}); });
}

TEST_F(TrainOn, RefusesWhatCannotBe) {
  TrainJob j = job();
  j.distill = write_tiny_decoder(tiny_decoder(tiny_decoder_config("llama"), 5), folder_ / "other");
  expect_error(ErrorKind::invalid_argument, "has a vocabulary of", [&] { train(j, {}); });
  j = job();
  j.qat.scheme = "int9";
  expect_error(ErrorKind::invalid_argument, "int9", [&] { train(j, {}); });
  j.qat.scheme = "int4:g8";
  j.qat.keep = {"nothing*"};
  expect_error(ErrorKind::invalid_argument, "no tensor has such a name", [&] { train(j, {}); });
  j = job();
  j.window = 100'000;
  expect_error(ErrorKind::invalid_argument, "longer than the model's context",
               [&] { train(j, {}); });
  j = job();
  j.schedule = "square";
  expect_error(ErrorKind::invalid_argument, "linear, cosine, constant", [&] { train(j, {}); });
}

}  // namespace
}  // namespace nibble
