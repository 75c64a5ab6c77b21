// MICROGPT section 2: the figures CPython gives for microgpt.py on names.txt.
#include "nibble/train/reference.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "nibble/core/error.h"
#include "tests/support/shared.h"

namespace nibble {
namespace {

constexpr const char* kNames = "../shared/data/text/names.txt";

std::string read_text(const char* path) {
  std::ifstream in(path, std::ios::binary);
  std::stringstream out;
  out << in.rdbuf();
  return out.str();
}

TEST(Reference, ReproducesCPythonDigitByDigit) {
  if (test::lacks_shared(kNames)) GTEST_SKIP() << kNames;
  const std::string text = read_text(kNames);
  int64_t heard = 0;
  const ReferenceResult r =
      train_reference(text, 42, 1000, Exec{}, [&](const TrainStep& s) { heard = s.step; });
  EXPECT_EQ(heard, 1000);
  ASSERT_EQ(r.losses.size(), 1000u);
  EXPECT_NEAR(r.losses[0], 3.3659669475848504, 1e-12);
  EXPECT_NEAR(r.losses[1], 3.4242727838717717, 1e-12);
  EXPECT_NEAR(r.losses[19], 2.7452853936556401, 1e-12);
  EXPECT_NEAR(r.losses[999], 2.64969447, 1e-8);
  const char* printed[] = {"3.3660", "3.4243", "3.1778", "3.0664", "3.2209", "2.9452", "3.2894",
                           "3.3245", "2.8990", "3.2229", "2.7964", "2.9345", "3.0544"};
  for (size_t i = 0; i < std::size(printed); ++i) {
    EXPECT_EQ(fmt::format("{:.4f}", r.losses[i]), printed[i]) << "step " << i + 1;
  }
  EXPECT_NEAR(r.weight_sum, 10.6213267386, 1e-8);
  EXPECT_EQ(fmt::format("{}", fmt::join(r.samples, " ")),
            "kamon ann karai jaire vialan karia yeran anna areli kaina konna keylen liole alerin "
            "earan lenne kana lara alela anton");
  EXPECT_EQ(fmt::format("{:.4f}", r.heldout_nll), "2.3682");
  EXPECT_EQ(r.config.vocab_size, 27);
  EXPECT_EQ(r.weights.at("layers.0.mlp.fc1.weight").shape(), (Shape{64, 16}));
}

TEST(Reference, WeightSumAfterTwentySteps) {
  if (test::lacks_shared(kNames)) GTEST_SKIP() << kNames;
  const std::string text = read_text(kNames);
  EXPECT_NEAR(train_reference(text, 42, 20, Exec{}).weight_sum, -0.17758205462, 1e-8);
}

TEST(Reference, RefusesWhatItCannotRun) {
  EXPECT_THROW(train_reference("\n \n", 42, 10, Exec{}), Error);
  EXPECT_THROW(train_reference("ann\n", 42, 0, Exec{}), Error);
  EXPECT_THROW(train_reference("ann\n", 42, 1001, Exec{}), Error);
}

}  // namespace
}  // namespace nibble
