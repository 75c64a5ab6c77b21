#include "nibble/eval/load_speed.h"

#include <gtest/gtest.h>

#include "nibble/model/shapes.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_folder.h"

namespace nibble {
namespace {

TEST(LoadSpeed, TimesTheLoadingAndTheReadingOfEveryTensorFile) {
  const test::TempFolder dir;
  const Model model = random_model("stories260k", 1);
  std::vector<WritableParameter> parameters;
  for (const ParamSpec& p : parameter_table(model.config))
    parameters.push_back(
        {p, {}, DType::f32, [&model, p] { return model.weights->get(p.name).plain(); }});
  const int64_t written = write_model(dir.path(), model.config, parameters, nullptr);
  const LoadSpeed speed = measure_load(dir.path(), {.threads = 2, .runs = 3});
  EXPECT_EQ(speed.file_bytes, written);
  EXPECT_GT(speed.load_seconds, 0);
  EXPECT_GT(speed.read_seconds, 0);
  EXPECT_DOUBLE_EQ(speed.ratio(), speed.load_seconds / speed.read_seconds);
}

TEST(LoadSpeed, RefusesWhatIsNoModelAndNoRuns) {
  const test::TempFolder dir;
  test::expect_error(ErrorKind::not_found, "no such file",
                     [&] { measure_load(dir.path() + "/none", {}); });
  test::expect_error(ErrorKind::invalid_argument, "1 or more",
                     [&] { measure_load(dir.path(), {.runs = 0}); });
}

}  // namespace
}  // namespace nibble
