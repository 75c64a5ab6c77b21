// What compare() opens, what it measures on, and how it names the rows.
#include "nibble/jobs/compare.h"

#include <gtest/gtest.h>

#include "nibble/eval/perplexity.h"
#include "tests/jobs/models.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_folder.h"

namespace nibble {
namespace {

using test::expect_error;
using test::write_classifier;
using test::write_reader;

// Nothing is timed.
CompareJob untimed(std::vector<std::string> models, std::vector<std::string> schemes = {}) {
  CompareJob job;
  job.models = std::move(models);
  job.schemes = std::move(schemes);
  job.text = Text{"tiny", kTinyText};
  job.measure.runs = 0;
  job.measure.continuations = 2;
  return job;
}

std::vector<std::string> row_names(const CompareResult& r) {
  std::vector<std::string> out;
  for (const Measurement& m : r.models) out.push_back(m.name);
  for (const ClassifierMeasurement& m : r.classifiers) out.push_back(m.name);
  return out;
}

TEST(CompareJob, MeasuresTheModelsOnTheText) {
  const test::TempFolder folder;
  const std::string a = write_tiny_model(folder / "a", 1), b = write_tiny_model(folder / "b", 2);
  const CompareResult r = compare(untimed({a, b}), {});
  EXPECT_EQ(row_names(r), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(r.measured_on, "tiny, all of it, protocol windows");
  EXPECT_FALSE(r.own_text);
  EXPECT_EQ(r.models[0].divergence.kl_mean, 0);
  EXPECT_GT(r.models[1].divergence.kl_mean, 0);
  for (const Measurement& m : r.models) {
    const Model model = open_model(m.folder);
    const auto text =
        scored_text(kTinyText, model.require_tokenizer(), model.decoder_config().context, {});
    EXPECT_EQ(m.loss, measure_loss(logits_of(load_decoder(model)), text, {}, "").loss);
  }
}

TEST(CompareJob, MakesSchemesOfTheFirst) {
  const test::TempFolder folder;
  const std::string a = write_tiny_model(folder / "a");
  const CompareResult r = compare(untimed({a}, {"f32", "int8", "int4:g16"}), {});
  EXPECT_EQ(row_names(r), (std::vector<std::string>{"f32", "int8", "int4:g16"}));
  EXPECT_EQ(r.models[1].scheme, r.models[1].name);
  EXPECT_GT(r.models[2].divergence.kl_mean, r.models[1].divergence.kl_mean);
}

TEST(CompareJob, TellsModelsOfOneNameApart) {
  const test::TempFolder folder;
  const std::string a = write_tiny_model(folder / "a/m"), b = write_tiny_model(folder / "b/m/"),
                    c = write_tiny_model(folder / "c/");
  EXPECT_EQ(row_names(compare(untimed({a, b, c}), {})), (std::vector<std::string>{"m", b, "c"}));
}

TEST(CompareJob, ReadsNamesOrWritesItsOwnText) {
  const test::TempFolder folder;
  CompareJob job = untimed({write_reader(folder / "reader")});
  job.text.reset();
  std::vector<std::string> told;
  const CompareResult r = compare(job, {}, [&](const Notice& n) {
    EXPECT_EQ(n.kind, Notice::Kind::own_text);
    told = n.lines;
  });
  EXPECT_TRUE(r.own_text);
  EXPECT_EQ(told, std::vector<std::string>{r.measured_on});
  EXPECT_TRUE(r.models[0].samples.empty()) << "lines alone are sampled";
  EXPECT_EQ(r.models[0].tokens, 16 * 15) << "16 texts as long as the context";
}

TEST(CompareJob, RefusesWhatCannotBeCompared) {
  const test::TempFolder folder;
  const std::string a = write_tiny_model(folder / "a"), reader = write_reader(folder / "reader");
  expect_error(ErrorKind::invalid_argument, "no model", [] { compare({}, {}); });
  expect_error(ErrorKind::not_found, "none", [&] { compare(untimed({a, folder / "none"}), {}); });
  expect_error(ErrorKind::invalid_argument, "its vocabulary has 21 tokens, the first model's 19",
               [&] {
                 compare(untimed({a, reader}), {});
               });
  CompareJob empty = untimed({a});
  empty.text = Text{"empty", ""};
  expect_error(ErrorKind::corrupt, "empty: ", [&] { compare(empty, {}); });
}

TEST(CompareJob, MeasuresClassifiersOnRandomInputs) {
  const test::TempFolder folder;
  CompareJob job = untimed({write_classifier(folder / "mlp")}, {"int8"});
  const CompareResult r = compare(job, {});
  EXPECT_EQ(row_names(r), (std::vector<std::string>{folder / "mlp", "int8"}));
  EXPECT_TRUE(r.models.empty());
  EXPECT_LT(r.classifiers[0].accuracy, 0) << "there are no labels";
  EXPECT_GT(r.classifiers[1].output_mse, 0);
  EXPECT_GT(r.classifiers[1].prediction_agreement, 0.9);
  job.models.push_back(write_tiny_model(folder / "decoder"));
  expect_error(ErrorKind::unsupported, "an MLP is needed", [&] { compare(job, {}); });
}

}  // namespace
}  // namespace nibble
