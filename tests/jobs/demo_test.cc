// The demo as a job: what it makes, what it measures, what it leaves alone.
#include "nibble/jobs/demo.h"

#include <gtest/gtest.h>

#include <cmath>

#include "nibble/model/model.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_folder.h"
#include "tests/support/tiny_model.h"

namespace nibble {
namespace {

DemoJob short_demo(const std::string& out) {
  DemoJob job;
  job.out = out;
  job.preset = "micro";
  job.text = {"tiny", kTinyText};
  job.steps = 2;
  job.batch = 2;
  job.runs = 0;
  return job;
}

TEST(DemoJob, MakesAFolderOfEachModelAndMeasuresIt) {
  const test::TempFolder folder;
  const std::string out = folder / "demo";
  std::string partial;
  const DemoResult r = demo(short_demo(out), {}, [&](const DemoResult& result, std::string at) {
    EXPECT_EQ(result.sensitivity.size(), result.weight_outliers.size());
    EXPECT_FALSE(std::filesystem::exists(out)) << "it appears complete";
    test::put_file(at + "/report.html", "a page");
    partial = at;
  });
  EXPECT_FALSE(std::filesystem::exists(partial));
  EXPECT_EQ(test::get_file(out + "/report.html"), "a page");
  EXPECT_TRUE(std::filesystem::exists(out + "/" + kDemoMarker));
  ASSERT_EQ(r.models.size(), 11u);
  for (const Measurement& m : r.models) {
    EXPECT_EQ(scheme_summary(open_model(out + "/" + m.folder)), m.scheme) << m.name;
    EXPECT_EQ(m.tokens, r.models[0].tokens);
  }
  EXPECT_EQ(r.models[0].folder, "f32");
  EXPECT_EQ(r.models[0].loss, r.heldout_loss);
  EXPECT_EQ(r.losses.size(), 2u);
  EXPECT_NEAR(r.losses[0], std::log(19.0), 0.5) << "the first guess is nearly uniform";
  EXPECT_EQ(r.histograms.size(), 2 * r.weight_outliers.size());
  EXPECT_EQ(r.data, "tiny: 12 unique names, 10 for training, 2 held out");
}

TEST(DemoJob, ReplacesOnlyWhatADemoMade) {
  const test::TempFolder folder;
  const std::string out = folder / "mine";
  std::filesystem::create_directory(out);
  test::put_file(out + "/mine.txt", "mine");
  test::expect_error(IoCause::cannot_create, "exists", [&] { demo(short_demo(out), {}); });
  EXPECT_EQ(test::get_file(out + "/mine.txt"), "mine");
  test::put_file(out + "/" + kDemoMarker, "");
  EXPECT_NO_THROW(demo(short_demo(out), {}));
  EXPECT_FALSE(std::filesystem::exists(out + "/mine.txt"));
}

}  // namespace
}  // namespace nibble
