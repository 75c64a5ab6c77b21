// evaluate(): the numbers of the measurements that it hands out, and what it refuses.
#include "nibble/jobs/eval.h"

#include <gtest/gtest.h>

#include "tests/jobs/models.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_folder.h"

namespace nibble {
namespace {

using test::expect_error;

EvalJob tiny_eval(const std::string& model, std::string against = "") {
  EvalJob job;
  job.model.model = model;
  job.against = std::move(against);
  job.text = Text{"tiny", kTinyText};
  return job;
}

TEST(EvalJob, HasTheLossAndTheDistance) {
  const test::TempFolder folder;
  const std::string a = write_tiny_model(folder / "a", 1), b = write_tiny_model(folder / "b", 2);
  const EvalResult alone = evaluate(tiny_eval(a), {}), beside = evaluate(tiny_eval(a, b), {});
  const Decoder decoder = load_decoder(open_model(a)), base = load_decoder(open_model(b));
  const auto text = cut_text({"tiny", kTinyText}, open_model(a), {});
  const auto expected = compare_models(logits_of(decoder), logits_of(base), text, {}, "");
  EXPECT_FALSE(alone.comparison);
  EXPECT_EQ(alone.loss.loss, expected.model.loss);
  EXPECT_EQ(alone.scheme, "f32");
  ASSERT_TRUE(beside.comparison);
  EXPECT_EQ(beside.loss.loss, expected.model.loss);
  EXPECT_EQ(beside.comparison->divergence.kl_mean, expected.divergence.kl_mean);
  EXPECT_EQ(beside.comparison->base.loss, evaluate(tiny_eval(b), {}).loss.loss);
}

TEST(EvalJob, QuantizesWhileLoading) {
  const test::TempFolder folder;
  EvalJob job = tiny_eval(write_tiny_model(folder / "a"), folder / "a");
  job.model.in = {"int4:g16", {"wte.*"}, {}};
  std::vector<std::string> told;
  const EvalResult r = evaluate(job, {}, [&](const Notice& n) { told = n.lines; });
  EXPECT_EQ(r.scheme, "int4:g16");
  EXPECT_GT(r.comparison->divergence.kl_mean, 0);
  EXPECT_EQ(told, r.warnings);
}

TEST(EvalJob, RefusesWhatItCannotMeasure) {
  const test::TempFolder folder;
  const std::string a = write_tiny_model(folder / "a"), reader = test::write_reader(folder / "r");
  expect_error(ErrorKind::invalid_argument, "the model's 19",
               [&] { evaluate(tiny_eval(a, reader), {}); });
  EvalJob job = tiny_eval(reader);
  job.text.reset();
  expect_error(ErrorKind::invalid_argument, "`text` is needed", [&] { evaluate(job, {}); });
  job = tiny_eval(a);
  job.text->text = "";
  expect_error(ErrorKind::corrupt, "tiny: ", [&] { evaluate(job, {}); });
  job = tiny_eval(a);
  job.model.in.scheme = "int99";
  expect_error(ErrorKind::invalid_argument, "int99", [&] { evaluate(job, {}); });
}

TEST(EvalJob, MeasuresClassifiersBesideTheirBaseline) {
  const test::TempFolder folder;
  const std::string mlp = test::write_classifier(folder / "mlp");
  EXPECT_EQ(evaluate(tiny_eval(mlp), {}).classifiers.size(), 1u);
  const EvalResult r = evaluate(tiny_eval(mlp, mlp), {});
  ASSERT_EQ(r.classifiers.size(), 2u);
  EXPECT_EQ(r.classifiers[1].output_mse, 0);
  EXPECT_EQ(r.classifiers[1].prediction_agreement, 1);
}

}  // namespace
}  // namespace nibble
