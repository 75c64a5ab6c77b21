// Numbers and flags on the command line are read to the letter.
#include <nlohmann/json.hpp>

#include "tests/cli/cli_test.h"

namespace nibble::test {
namespace {

// No model is opened: what is wrong with a word is said before.
CommandResult with(const std::string& verb, const std::vector<std::string>& words) {
  std::vector<std::string> all = {verb, "no-such-model"};
  if (verb == "quantize" || verb == "auto") all.insert(all.end(), {"-o", "no-such-output"});
  all.insert(all.end(), words.begin(), words.end());
  return run_nibble(all);
}

TEST(StrictNumbers, WordsThatAreNoNumbersAreRefused) {
  const std::pair<const char*, const char*> cases[] = {
      {"generate", "--temperature"},    {"generate", "--top-k"},
      {"generate", "--top-p"},          {"generate", "--min-p"},
      {"generate", "--seed"},           {"generate", "--samples"},
      {"generate", "--batch"},          {"generate", "--threads"},
      {"generate", "--max-new-tokens"}, {"eval", "--window"},
      {"eval", "--data-seed"},          {"eval", "--seed"},
      {"quantize", "--damping"},        {"quantize", "--sweeps"},
      {"quantize", "--max-memory"},     {"auto", "--bits"},
      {"bench", "--prefill"},           {"compare", "--runs"},
      {"inspect", "--magnitude"},       {"estimate", "--layers"},
      {"estimate", "--bandwidth"}};
  for (const auto& [verb, option] : cases) {
    SCOPED_TRACE(std::string(verb) + " " + option);
    for (const char* bad : {"", " ", "x", "1x", "0x10", "1,5", "--", "1 ", "99999999999999999999e"})
      expect_rejected(with(verb, {std::string(option) + "=" + bad}), 64, option);
    expect_rejected(with(verb, {option, ""}), 64, option);
  }
}

TEST(StrictNumbers, NothingWraps) {
  for (const char* seed : {"-1", "18446744073709551616", "99999999999999999999", "1.0", "1e3"})
    expect_rejected(with("generate", {std::string("--seed=") + seed}), 64, "--seed");
  for (const char* k : {"9223372036854775808", "99999999999999999999", "2.5"})
    expect_rejected(with("generate", {std::string("--top-k=") + k}), 64, "--top-k");
  // These are numbers: the model is what is missing.
  for (const char* good : {"--seed=18446744073709551615", "--seed=0", "--top-k=40",
                           "--temperature=1e-1", "--temperature=.5", "--seed=+7"})
    expect_rejected(with("generate", {good}), 66, "no-such-model");
}

TEST(StrictNumbers, FlagsTakeNoValue) {
  for (const char* flag : {"--json=5", "--quiet=yes", "--shift=2", "--shift=on"})
    expect_rejected(with("generate", {flag}), 64);
  for (const char* json : {"--json", "--json=", "--json=true"}) {
    const CommandResult r = with("eval", {json});
    EXPECT_EQ(r.exit_code, 66);
    EXPECT_EQ(nlohmann::json::parse(r.err).at("error").at("code"), 66);
  }
  expect_rejected(with("eval", {"--json=false"}), 66, "no-such-model");
}

}  // namespace
}  // namespace nibble::test
