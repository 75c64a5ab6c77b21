// Folders that other tools quantized: the loss is that of their weights as numpy unpacks them.
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "nibble/core/files.h"
#include "nibble/jobs/eval.h"
#include "tests/support/shared.h"

namespace nibble {
namespace {

class ThirdParty : public testing::TestWithParam<const char*> {};

TEST_P(ThirdParty, HasTheLossOfItsOwnNumbers) {
  const std::string folder = std::string("../shared/data/thirdparty/") + GetParam();
  const std::string text = "../shared/data/text/shakespeare-val.txt";
  if (test::lacks_shared(folder) || test::lacks_shared(text)) GTEST_SKIP() << folder;
  std::ifstream file(folder + ".json");
  const auto expected = nlohmann::json::parse(file);
  EvalJob job;
  job.model.model = folder;
  job.text = Text{text, read_file(text, int64_t{1} << 24)};
  job.cut.window = 256;
  const EvalResult r = evaluate(job, {});
  EXPECT_NEAR(r.loss.loss, expected.at("mean_nll").get<double>(), 1e-4);
  EXPECT_EQ(r.scheme, "int4:g32");
}

INSTANTIATE_TEST_SUITE_P(Folders, ThirdParty,
                         testing::Values("llama-shakespeare-gptq-w4g32",
                                         "llama-shakespeare-awq-w4g32"));

}  // namespace
}  // namespace nibble
