// Options of `nibble train` that would be passed over in silence are refused by name.
#include <gtest/gtest.h>

#include "tests/cli/cli_test.h"
#include "tests/support/command.h"

namespace nibble {
namespace {

using Arguments = std::vector<std::string>;

void expect_unread(const std::string& words, Arguments arguments) {
  arguments.insert(arguments.begin(), "train");
  test::expect_rejected(test::run_nibble(arguments), 64, words);
}

TEST(TrainOptions, OfRunsOfAnotherKind) {
  expect_unread("mlp takes no --lr", {"mlp", "--lr", "0.1"});
  expect_unread("mlp takes no --from", {"mlp", "--from", "x"});
  expect_unread("mlp takes no --qat", {"mlp", "--qat", "int4"});
  expect_unread("--reference takes no --lr", {"micro", "--reference", "--lr", "0.1"});
  expect_unread("--reference takes no --batch", {"micro", "--reference", "--batch", "2"});
  expect_unread("--reference takes no --qat", {"micro", "--reference", "--qat", "int4"});
}

TEST(TrainOptions, ThatBelongToOthers) {
  for (const Arguments& option : {Arguments{"--set", "*=int4"},
                                  {"--keep", "*"},
                                  {"--quantize", "lm_head"},
                                  {"--qat-begin", "1"},
                                  {"--scale-lr", "1"},
                                  {"--scale-dtype", "f32"}}) {
    expect_unread(option[0] + " belongs to --qat", {"demo", option[0], option[1]});
  }
  for (const char* option : {"--distill-share", "--corrupt"})
    expect_unread(std::string(option) + " belongs to --distill", {"demo", option, "0.5"});
  expect_unread("--loftq belongs to --lora", {"demo", "--loftq", "x"});
}

}  // namespace
}  // namespace nibble
