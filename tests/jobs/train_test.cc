// train(): the folder it makes and what it says of it.
#include "nibble/jobs/train.h"

#include <gtest/gtest.h>

#include <cmath>

#include "nibble/eval/perplexity.h"
#include "nibble/text/line_data.h"
#include "tests/jobs/models.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_folder.h"

namespace nibble {
namespace {

using test::expect_error;

TrainJob short_training(const std::string& out) {
  TrainJob job;
  job.preset = "micro";
  job.text = {"tiny", kTinyText};
  job.out = out;
  job.steps = 4;
  job.batch = 2;
  job.samples = 3;
  return job;
}

TEST(TrainJob, MeasuresTheModelThatItMakes) {
  const test::TempFolder folder;
  std::vector<int64_t> steps;
  Exec exec;
  exec.progress = [&](const Progress& p) {
    if (p.task == "train") steps.push_back(p.done);
  };
  const TrainSummary r = train(short_training(folder / "out"), exec);
  EXPECT_EQ(steps, (std::vector<int64_t>{1, 2, 3, 4}));
  const Model model = open_model(folder / "out");
  const auto data =
      sequences(kTinyText, model.require_tokenizer(), model.decoder_config().context, 42);
  const auto loss = measure_loss(logits_of(load_decoder(model)), all_scored(data.heldout), {}, "");
  EXPECT_EQ(r.heldout_loss, loss.loss);
  EXPECT_EQ(r.parameters, parameter_count(model.decoder_config()));
  EXPECT_EQ(r.losses.size(), 4u);
  EXPECT_EQ(r.train_loss, final_loss(r.losses));
  EXPECT_EQ(r.samples.size(), 3u);
}

TEST(TrainJob, NamesTheTextThatTeachesNothing) {
  TrainJob job = short_training("");
  job.text = {"one line", "anna\n"};
  expect_error(ErrorKind::corrupt, "one line: ", [&] { train(job, {}); });
  job.text.text = "";
  expect_error(ErrorKind::invalid_argument, "no names", [&] { train_reference(job, {}); });
}

TEST(TrainJob, ReferenceModeBeginsAsTheOriginalDoes) {
  TrainJob job;
  job.steps = 2;
  const ReferenceResult r = train_reference(job, {});
  ASSERT_EQ(r.losses.size(), 2u);
  EXPECT_NEAR(r.losses[0], std::log(27.0), 0.2) << "27 tokens, nothing learned yet";
  EXPECT_EQ(r.samples.size(), 20u);
}

TEST(TrainJob, FinalLossIsOfTheLastHundred) {
  std::vector<float> losses(150, 1);
  std::fill(losses.begin(), losses.begin() + 50, 100.0f);
  EXPECT_EQ(final_loss(losses), 1);
  EXPECT_EQ(final_loss({1, 3}), 2);
  EXPECT_EQ(final_loss({}), 0);
}

TEST(TrainJob, DrawsAClassifierWithoutData) {
  const test::TempFolder folder;
  TrainJob job;
  job.out = folder / "mlp";
  const ClassifierSummary r = train_classifier(job, {});
  EXPECT_EQ(r.steps, 0);
  EXPECT_EQ(r.parameters, 784 * 512 + 512 + 512 * 512 + 512 + 512 * 10 + 10);
  EXPECT_LT(r.test_accuracy, 0) << "random inputs have no labels";
  EXPECT_EQ(open_model(job.out).mlp_config().sizes, (std::vector<int64_t>{784, 512, 512, 10}));
  job.resume = true;
  expect_error(ErrorKind::invalid_argument, "`resume`", [&] { train_classifier(job, {}); });
}

}  // namespace
}  // namespace nibble
