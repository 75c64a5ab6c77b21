// Which modules `targets` and `ignore` mean: as compressed_tensors/utils/match.py has it.
#include "nibble/format/module_targets.h"

#include <gtest/gtest.h>

#include <chrono>

#include "tests/support/expect_error.h"

namespace nibble {
namespace {

using test::expect_error;

const std::vector<MatrixModule> kTargetModules = {{"model.embed_tokens", "Embedding"},
                                                  {"model.layers.0.self_attn.q_proj", "Linear"},
                                                  {"model.layers.10.mlp.down_proj", "Linear"},
                                                  {"lm_head", "Linear"}};

// The numbers of all modules, -1 where none.
std::vector<int> numbers(const std::vector<std::pair<std::string, size_t>>& entries) {
  ModuleTargets targets(kTargetModules);
  for (const auto& [entry, number] : entries) targets.add(entry, number, "k");
  std::vector<int> out;
  for (const MatrixModule& m : kTargetModules) {
    const auto found = targets.find(m);
    out.push_back(found ? static_cast<int>(*found) : -1);
  }
  return out;
}

TEST(ModuleTargets, AClassIsTheClassAlone) {
  EXPECT_EQ(numbers({{"Linear", 1}}), (std::vector{-1, 1, 1, 1}));
  EXPECT_EQ(numbers({{"Embedding", 2}}), (std::vector{2, -1, -1, -1}));
  EXPECT_EQ(numbers({{"Conv1D", 2}}), (std::vector{-1, -1, -1, -1}));
  EXPECT_EQ(numbers({{"linear", 1}, {"Line", 1}}), (std::vector{-1, -1, -1, -1}));
}

// re.match: from the beginning, not to the end.
TEST(ModuleTargets, PatternsMatchFromTheBeginning) {
  EXPECT_EQ(numbers({{"re:.*lm_head", 1}}), (std::vector{-1, -1, -1, 1}));
  EXPECT_EQ(numbers({{"re:head", 1}}), (std::vector{-1, -1, -1, -1}));
  EXPECT_EQ(numbers({{"re:model", 1}}), (std::vector{1, 1, 1, -1}));
  EXPECT_EQ(numbers({{"re:.*layers\\.1.*", 1}}), (std::vector{-1, -1, 1, -1}));
  EXPECT_EQ(numbers({{"re:.*(q|down)_proj$", 1}}), (std::vector{-1, 1, 1, -1}));
  EXPECT_EQ(numbers({{"re:lm|model\\.embed", 1}}), (std::vector{1, -1, -1, 1}));
  EXPECT_EQ(numbers({{"re:.*proj.weight", 1}}), (std::vector{-1, -1, -1, -1}));
  EXPECT_EQ(numbers({{"re:Linear", 1}}), (std::vector{-1, -1, -1, -1}));
  EXPECT_EQ(numbers({{"re:", 1}}), (std::vector{1, 1, 1, 1}));
}

TEST(ModuleTargets, ANameSaysMoreThanAPatternAndThatMoreThanAClass) {
  EXPECT_EQ(numbers({{"Linear", 0}, {"re:.*proj", 1}, {"model.layers.10.mlp.down_proj", 2}}),
            (std::vector{-1, 1, 2, 0}));
  // Of two patterns the first by the alphabet, whichever group comes first.
  EXPECT_EQ(numbers({{"re:model.*", 1}, {"re:.*", 2}}), (std::vector{2, 2, 2, 2}));
  EXPECT_EQ(numbers({{"re:.*", 2}, {"re:model.*", 1}}), (std::vector{2, 2, 2, 2}));
}

TEST(ModuleTargets, RefusesWhatNamesNothing) {
  ModuleTargets targets(kTargetModules);
  for (const char* good : {"Linear", "Embedding", "Conv1D", "lm_head", "re:nothing.*"})
    EXPECT_NO_THROW(targets.add_target(good, 0, "k"));
  for (const char* bad : {"", "LlamaAttention", "model.layers.0.self_attn.q_proj.weight",
                          "model.layers.0.self_attn", "lm_head.bias", "Linear "}) {
    expect_error(ErrorKind::corrupt, "key \"where\": " + in_quotes(bad) + " is no matrix",
                 [&] { targets.add_target(bad, 0, "where"); });
  }
}

TEST(ModuleTargets, RefusesEntriesOfTwoGroups) {
  for (const char* entry : {"Linear", "lm_head", "re:.*head"}) {
    ModuleTargets targets(kTargetModules);
    targets.add(entry, 0, "first");
    EXPECT_NO_THROW(targets.add(entry, 0, "first"));
    expect_error(ErrorKind::corrupt, "target of two groups",
                 [&] { targets.add(entry, 1, "second"); });
  }
}

TEST(ModuleTargets, NamesTheKeyOfAPatternThatIsNone) {
  for (const char* bad : {"re:(", "re:a)|(?:b", "re:[", "re:*", "re:\\1", "re:(?P<x"}) {
    ModuleTargets targets(kTargetModules);
    expect_error(test::bad_file(), "key \"quantization_config.ignore\"",
                 [&] { targets.add(bad, 0, "quantization_config.ignore"); });
  }
}

// Patterns that run back and forth, on names that they nearly match, and as many of them as go in.
TEST(ModuleTargets, NoListOfPatternsTakesLong) {
  const auto begin = std::chrono::steady_clock::now();
  std::vector<MatrixModule> modules;
  for (int i = 0; i < 400; ++i)
    modules.push_back({std::string(100, 'a') + std::to_string(i), "Linear"});
  ModuleTargets targets(modules);
  const auto use = [&] {
    for (int i = 0;; ++i) targets.add("re:(a+)+$|" + std::to_string(i), 0, "k");
  };
  expect_error(ErrorKind::unsupported, "too many: name the modules", use);
  expect_error(ErrorKind::unsupported, "key \"k\"", [&] {
    for (const MatrixModule& m : modules) targets.find(m);
  });
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(10));
}

}  // namespace
}  // namespace nibble
