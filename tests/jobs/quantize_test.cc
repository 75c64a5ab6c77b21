// quantize() and its plan beside quantize_model(); choose_bits() and its budgets.
#include "nibble/jobs/quantize.h"

#include <gtest/gtest.h>

#include "tests/jobs/models.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_folder.h"

namespace nibble {
namespace {

using test::expect_error;

QuantizeJob int8_job(const test::TempFolder& folder) {
  QuantizeJob job;
  job.model = write_tiny_model(folder / "a");
  job.out = folder / "out";
  job.options.scheme = parse_scheme("int8");
  return job;
}

TEST(QuantizeJob, MakesWhatThePlanSays) {
  const test::TempFolder folder;
  const QuantizeJob job = int8_job(folder);
  const QuantizePlan planned = plan(job, {});
  EXPECT_FALSE(std::filesystem::exists(job.out));
  EXPECT_FALSE(planned.writes_text);
  const QuantizeResult made = quantize(job, {}, [](const Notice&) { FAIL() << "reads no text"; });
  EXPECT_EQ(planned.bits_per_weight, made.bits_per_weight);
  EXPECT_EQ(scheme_summary(open_model(job.out)), "int8");
}

TEST(QuantizeJob, ThePlanRefusesWhatCouldNotBeWritten) {
  const test::TempFolder folder;
  QuantizeJob job = int8_job(folder);
  job.options.formats = {parse_output_format("awq")};
  test::expect_error(ErrorKind::unsupported, "awq, which holds", [&] { plan(job, {}); });
  job.options.formats.clear();
  job.options.scheme = parse_scheme("q4_k");
  test::expect_error(ErrorKind::unsupported, "name the output NAME.gguf", [&] { plan(job, {}); });
}

TEST(QuantizeJob, WarnsOfFieldsThatNothingReads) {
  const test::TempFolder folder;
  QuantizeJob job = int8_job(folder);
  job.given = {"damping"};
  ASSERT_FALSE(plan(job, {}).warnings.empty());
  EXPECT_NE(plan(job, {}).warnings[0].find("`damping`"), std::string::npos);
  EXPECT_EQ(quantize(job, {}).warnings, plan(job, {}).warnings);
  job.given = {"scheme"};
  EXPECT_TRUE(plan(job, {}).warnings.empty());
}

TEST(QuantizeJob, TellsOfTheTextThatTheModelWrites) {
  const test::TempFolder folder;
  QuantizeJob job = int8_job(folder);
  job.options.method = "gptq";
  job.options.calibration.samples = 16;
  std::vector<std::string> told;
  const QuantizeResult r = quantize(job, {}, [&](const Notice& n) { told = n.lines; });
  EXPECT_EQ(told, std::vector<std::string>{std::string(kGeneratedText)});
  EXPECT_FALSE(r.layers.empty());
  job.model = folder / "none";
  expect_error(ErrorKind::not_found, "none",
               [&] { quantize(job, {}, [](const Notice&) { FAIL() << "an error comes first"; }); });
}

TEST(AutoJob, HasOneBudget) {
  const test::TempFolder folder;
  AutoJob job{write_tiny_model(folder / "a"), folder / "out", {}, auto_options()};
  expect_error(ErrorKind::invalid_argument, "one budget", [&] { choose_bits(job, {}); });
  job.budget.bits = 4;
  job.budget.max_kl = 0.1;
  expect_error(ErrorKind::invalid_argument, "one budget", [&] { choose_bits(job, {}); });
}

}  // namespace
}  // namespace nibble
