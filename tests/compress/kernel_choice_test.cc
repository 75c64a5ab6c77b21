// The loss of a trained model in every scheme is the same under every NIBBLE_ISA that this machine
// has and for any number of threads.
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "nibble/core/cpu.h"
#include "tests/support/command.h"
#include "tests/support/shared.h"

namespace nibble::test {
namespace {

const std::string kData = "../shared/data/";

struct Case {
  const char *model, *text;
  int tokens;
};
void PrintTo(const Case& c, std::ostream* out) { *out << c.model; }

// By scheme, the loss for each number of threads.
using Losses = std::map<std::string, std::vector<double>>;

Losses losses(const Case& c, std::string_view isa, const std::vector<std::string>& threads) {
  std::vector<std::string> words{NIBBLE_LOSSES, kData + "models/" + c.model,
                                 kData + "text/" + c.text, std::to_string(c.tokens)};
  words.insert(words.end(), threads.begin(), threads.end());
  const CommandResult r =
      run_program(words, {.set = {{"NIBBLE_ISA", std::string(isa)}}, .limit_s = 120});
  EXPECT_EQ(r.exit_code, 0) << isa << ": " << r.err;
  Losses out;
  std::istringstream lines(r.out);
  std::string scheme;
  for (double count = 0, loss = 0; lines >> scheme >> count >> loss;) out[scheme].push_back(loss);
  return out;
}

class KernelChoice : public ::testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    const std::string model = kData + "models/" + GetParam().model;
    if (test::lacks_shared(model)) GTEST_SKIP() << model;
  }
};

// More than perplexity within 1e-4: the same bytes. Less would not do: a rounding that moves one
// int8 code of a row moves all that follows.
TEST_P(KernelChoice, LeavesTheLossAsItIs) {
  const Case& c = GetParam();
  const Losses reference = losses(c, "ref", {"2"});
  EXPECT_GE(reference.size(), 18u);
  for (const std::string_view isa : available_isas()) {
    if (isa == "ref") continue;
    const Losses found = losses(c, isa, {"1", "2", "3"});
    ASSERT_EQ(found.size(), reference.size()) << isa;
    for (const auto& [scheme, values] : found) {
      ASSERT_EQ(values.size(), 3u);
      for (const double v : values)
        EXPECT_EQ(v, reference.at(scheme).at(0)) << scheme << " under " << isa;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Models, KernelChoice,
                         ::testing::Values(Case{"stories260k", "tinystories-sample.txt", 32},
                                           Case{"gpt2-shakespeare", "shakespeare-val.txt", 6}),
                         [](const auto& test) {
                           const std::string name = test.param.model;
                           return name.substr(0, name.find('-'));
                         });

}  // namespace
}  // namespace nibble::test
