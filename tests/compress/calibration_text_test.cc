// Samples to calibrate on, samples to measure on, and whether a text suits a model.
#include "nibble/compress/calibration_text.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>

#include "tests/support/expect_error.h"
#include "tests/support/shared.h"
#include "tests/support/temp_folder.h"
#include "tests/support/tiny_model.h"

namespace nibble {
namespace {

TEST(HeldOut, IsNotWhatCalibrationSees) {
  const test::TempFolder folder;
  const Model model = open_model(write_tiny_model(folder / "in"));
  CalibrationOptions options = {"", 12, 16, 42};
  const CalibrationText seen = calibration_text(model, options, Exec{});
  const CalibrationText other = held_out_text(model, options, 10, Exec{});
  EXPECT_EQ(options.samples, 12);
  EXPECT_EQ(other.samples.size(), 10U);
  for (const auto& s : other.samples)
    EXPECT_EQ(std::count(seen.samples.begin(), seen.samples.end(), s), 0);
}

TEST(HeldOut, OfAFileLeavesLessForCalibration) {
  const test::TempFolder folder;
  const Model model = open_model(write_tiny_model(folder / "in"));
  std::string lines;
  for (const char first : {'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'}) {
    for (const char* rest : {"anna", "bela", "carl", "dora", "emil", "fay", "gina", "hans"})
      lines += std::string(1, first) + rest + "\n";
  }
  std::ofstream(folder / "text.txt") << lines;
  CalibrationOptions options = {folder / "text.txt", 100, 16, 42};
  const CalibrationText other = held_out_text(model, options, 30, Exec{});
  const CalibrationText seen = calibration_text(model, options, Exec{});
  EXPECT_EQ(other.samples.size(), 30U);
  EXPECT_EQ(options.samples, 34);
  EXPECT_EQ(static_cast<int64_t>(seen.samples.size()), options.samples);
  options.samples = 100;
  test::expect_error(ErrorKind::corrupt, "calibration needs > 1000 samples of 16 tokens",
                     [&] { held_out_text(model, options, 1000, Exec{}); });
  const CalibrationOptions few = {"", 1, 2, 42};
  test::expect_error(ErrorKind::corrupt,
                     "got 2: raise `calibration_samples` or `calibration_length`",
                     [&] { calibration_text(model, few, Exec{}); });
}

// BAD_INPUTS Q1: the tensor is named where the model is to write the text, too.
TEST(CalibrationText, AModelThatIsNotFiniteIsRefusedByName) {
  const test::TempFolder folder;
  const Model good = open_model(write_tiny_model(folder / "in"));
  TensorMap weights = random_weights(good.config, 7);
  auto& [name, tensor] = *weights.rbegin();
  for (float& v : tensor.mutable_data<float>()) v = NAN;
  const CharTokenizer tokenizer = CharTokenizer::from_text(kTinyText, true);
  const Model bad = in_memory(good.config, weights, tokenizer);
  test::expect_error(ErrorKind::corrupt, name, [&] {
    calibration_text(bad, {"", 12, 16, 42}, Exec{});
  });
}

TEST(CalibrationFit, SaysWhichWayATextIsWrong) {
  EXPECT_EQ(fit_warning({3.6, 3.1}, "a"), "");
  EXPECT_NE(fit_warning({1.2, 3.1}, "a").find("by heart"), std::string::npos);
  EXPECT_NE(fit_warning({5.3, 3.1}, "a").find("does not know such text"), std::string::npos);
  EXPECT_NE(fit_warning({5.3, 3.1}, "a").find("5.30, on text of its own 3.10"), std::string::npos);
}

TEST(CalibrationFit, OfATrainedModel) {
  const std::string folder = "../shared/data/";
  if (test::lacks_shared(folder)) GTEST_SKIP() << folder;
  const Model model = open_model(folder + "models/llama-shakespeare");
  const auto warning = [&](const std::string& name) {
    const CalibrationOptions options = {folder + "text/" + name, 64, 128, 42};
    const CalibrationText text = calibration_text(model, options, Exec{});
    return fit_warning(calibration_fit(model, text, 42, Exec{}), text.source);
  };
  EXPECT_EQ(warning("shakespeare-val.txt"), "");
  EXPECT_NE(warning("wikitext-2-test.txt"), "");
}

}  // namespace
}  // namespace nibble
