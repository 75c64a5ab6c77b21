// What holds for every verb: help, usage errors, missing inputs, the form of an error.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/cli/cli_test.h"

namespace nibble::test {
namespace {

const std::vector<std::string> kVerbs = {"demo",     "train",   "quantize", "auto",
                                         "eval",     "compare", "generate", "inspect",
                                         "tokenize", "bench",   "estimate"};

class Verb : public ::testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Command, Verb, ::testing::ValuesIn(kVerbs),
                         [](const auto& test) { return test.param; });

TEST_P(Verb, HelpHasAnExample) {
  const CommandResult r = run_nibble({GetParam(), "--help"});
  expect_success(r);
  EXPECT_NE(r.out.find("Example"), std::string::npos) << r.out;
  EXPECT_NE(r.out.find("nibble " + GetParam()), std::string::npos) << r.out;
  EXPECT_NE(r.out.find("--json"), std::string::npos) << r.out;
  EXPECT_NE(r.out.find("--threads"), std::string::npos) << r.out;
  EXPECT_EQ(r.err, "");
}

// The flag is named even where a model is missing, too, and the verb whose help is meant.
TEST_P(Verb, UnknownFlag) {
  const CommandResult r = run_nibble({GetParam(), "--no-such-flag"});
  expect_rejected(r, 64, "not expected: --no-such-flag (see `nibble " + GetParam() + " --help`)");
}

TEST_P(Verb, HelpNamesWhatEveryVerbTakes) {
  const CommandResult r = run_nibble({GetParam(), "--help"});
  for (const char* option : {"--json", "--quiet", "--threads", "--seed"}) {
    EXPECT_NE(r.out.find(option), std::string::npos) << option;
  }
}

TEST_P(Verb, ThreadsMustBeANumberInRange) {
  for (const std::string bad : {"-1", "x", "1e3", "99999999999999999999", ""}) {
    expect_rejected(run_nibble({GetParam(), "--threads", bad}), 64, "threads");
  }
}

// A number that is none passes every comparison that asks whether it is too large.
TEST(Command, NanIsNoNumberForAnyOption) {
  const std::vector<std::vector<std::string>> commands = {
      {"quantize", "m", "-o", "o", "--damping"},
      {"quantize", "m", "-o", "o", "--threshold"},
      {"auto", "m", "-o", "o", "--bits"},
      {"auto", "m", "-o", "o", "--max-kl"},
      {"inspect", "m", "--magnitude"},
      {"inspect", "m", "--sigmas"},
      {"estimate", "--bandwidth"},
      {"train", "micro", "--temperature"}};
  for (std::vector<std::string> words : commands) {
    const std::string option = words.back();
    words.emplace_back("nan");
    expect_rejected(run_nibble(words), 64, option + ": Value nan not in range");
  }
}

TEST_P(Verb, ErrorsAsJsonKeepStdoutEmpty) {
  const CommandResult r = run_nibble({GetParam(), "--json", "--no-such-flag"});
  EXPECT_EQ(r.exit_code, 64);
  EXPECT_EQ(r.out, "");
  const auto json = nlohmann::json::parse(r.err, nullptr, false);
  ASSERT_FALSE(json.is_discarded()) << r.err;
  EXPECT_EQ(json.at("error").at("code"), 64);
  EXPECT_EQ(json.at("error").at("kind"), "invalid_argument");
  for (const char* field : {"file", "where", "reason", "message"}) {
    EXPECT_TRUE(json.at("error").at(field).is_string()) << field;
  }
}

TEST(Command, NoVerbOrAnUnknownOne) {
  expect_rejected(run_nibble({}), 64);
  expect_rejected(run_nibble({"no-such-verb"}), 64, "no-such-verb");
  expect_rejected(run_nibble({""}), 64);
}

TEST(Command, HelpAndVersion) {
  const CommandResult help = run_nibble({"--help"});
  expect_success(help);
  EXPECT_NE(help.out.find("Example"), std::string::npos);
  for (const std::string& verb : kVerbs) {
    EXPECT_NE(help.out.find(verb), std::string::npos) << verb;
  }
  const CommandResult version = run_nibble({"--version"});
  expect_success(version);
  EXPECT_EQ(version.out.substr(0, 7), "nibble ");
}

// The notice of what it will calibrate on is for a model that is there.
TEST(Command, AMissingModelIsSaidBeforeAnyNotice) {
  const test::TempFolder folder;
  expect_rejected(
      run_nibble({"quantize", folder / "none", "-o", folder / "out", "--method", "gptq"}), 66,
      "none");
}

// A word that no option knows is not the fault of a file, and nothing is read for it.
TEST(Command, AnUnknownWordOfEvalIsSaidBeforeItsFiles) {
  const test::TempFolder folder;
  for (const std::string option : {"--kv", "--protocol"}) {
    SCOPED_TRACE(option);
    expect_rejected(
        run_nibble({"eval", folder / "none", "--text", folder / "none.txt", option, "foo"}), 64,
        "foo");
  }
}

// Each with everything else in order, so that the missing file is what is wrong.
std::vector<std::vector<std::string>> commands_with_input(const std::string& path,
                                                          const std::string& out) {
  return {{"quantize", path, "-o", out, "--scheme", "int8"},
          {"auto", path, "-o", out, "--bits", "4"},
          {"eval", path, "--text", "data/names.txt"},
          {"compare", path, "--schemes", "int8", "--text", "data/names.txt"},
          {"generate", path},
          {"inspect", path},
          {"train", "micro", "--data", path, "--steps", "1", "-o", out},
          {"demo", "-o", out, "--data", path, "--steps", "1"}};
}

TEST(Command, MissingInput) {
  const TempFolder folder;
  for (const auto& words : commands_with_input(folder / "absent", folder / "out")) {
    SCOPED_TRACE(words[0]);
    expect_rejected(run_nibble(words), 66, folder / "absent");
  }
  EXPECT_EQ(folder.size(), 0u);
}

// "$MODEL" of a script that did not set it.
TEST(Command, AnEmptyNameIsNoModel) {
  for (const char* verb : {"eval", "inspect", "generate", "tokenize", "compare"})
    expect_rejected(run_nibble({verb, ""}), 64, "the name of a model is empty");
  const TempFolder folder;
  expect_rejected(run_nibble({"quantize", "", "-o", folder / "out"}), 64,
                  "the name of a model is empty");
}

// Without the split it would be passed over.
TEST(Command, TheSeedOfASplitNeedsTheSplit) {
  expect_rejected(run_nibble({"eval", "tests/golden/models/llama", "--data-seed", "5"}), 64,
                  "--data-seed requires --heldout");
}

// O11: nothing that is not a file or folder is waited for.
TEST(Command, InputThatIsNoFile) {
  const TempFolder folder;
  ASSERT_EQ(mkfifo((folder / "fifo").c_str(), 0600), 0);
  std::filesystem::create_symlink(folder / "absent", folder / "dangling");
  std::filesystem::create_symlink(folder / "loop", folder / "loop");
  for (const std::string& path :
       {folder / "fifo", folder / "dangling", folder / "loop", std::string("/dev/zero")}) {
    for (const auto& words : commands_with_input(path, folder / "out")) {
      SCOPED_TRACE(words[0] + " " + path);
      expect_rejected(run_nibble(words), 66, path);
    }
  }
  EXPECT_EQ(folder.size(), 3u);
}

TEST(Command, EmptyFolderAsModel) {
  const TempFolder folder;
  for (const std::string verb : {"generate", "inspect"}) {
    expect_rejected(run_nibble({verb, folder.path()}), 66, "config.json");
  }
}

TEST(Command, NamesFromOutsideAreEscaped) {
  const CommandResult r = run_nibble({"inspect", "no\nsuch\x1b[31mmodel\xff"});
  expect_rejected(r, 66, "no\\x0asuch\\x1b[31mmodel\\xff");
}

TEST(Command, ARunShorterThanItsWarmUpIsToldHowLongThatIs) {
  expect_rejected(run_nibble({"train", "char", "--data", "data/names.txt", "--steps", "10"}), 64,
                  "warm-up takes 100 steps, so a run needs more (got 10)");
}

// A decoder of any architecture, by its config.json.
TEST(Command, TrainsTheDecoderOfAConfig) {
  const TempFolder folder;
  const std::string config = folder / "config.json", out = folder / "out",
                    decoder = R"({"model_type": "llama", "vocab_size": 9, "hidden_size": 16,
                        "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 4,
                        "num_key_value_heads": 2, "max_position_embeddings": 16)";
  const std::vector<std::string> train = {"train", config, "--steps", "101",   "--batch",
                                          "2",     "-o",   out,       "--data"};
  const auto with = [&](const std::string& data) {
    std::vector<std::string> words = train;
    words.push_back(data);
    return run_nibble(words);
  };
  put_file(config, decoder + "}");
  expect_success(with("data/names.txt"));
  expect_success(run_nibble({"generate", out, "--prompt", "an", "--max-new-tokens", "3"}));
  expect_rejected(run_nibble({"train", config, "--steps", "101"}), 64, "needs --data");
  expect_rejected(
      run_nibble({"train", config, "--data", "data/names.txt", "-o", config, "--force"}), 64,
      "config.json");
  put_file(config, decoder + R"(, "quantization_config": {}})");
  expect_rejected(with("data/names.txt"), 65, "quantization_config");
  put_file(config, R"({"model_type": "mlp", "sizes": [2, 2]})");
  expect_rejected(with("data/names.txt"), 65, "preset mlp");
  put_file(config, R"({"model_type": "llama"})");
  expect_rejected(with("data/names.txt"), 65, config);
}

TEST(Command, BadTrainingText) {
  const TempFolder folder;
  const auto train = [&](std::string_view text) {
    put_file(folder / "text", text);
    return run_nibble(
        {"train", "micro", "--steps", "1", "--data", folder / "text", "-o", folder / "out"});
  };
  expect_rejected(train(""), 65, folder / "text");
  expect_rejected(train("\n\n  \n"), 65, folder / "text");
  expect_rejected(train("ab\n\xff\n"), 65, folder / "text");
  EXPECT_EQ(folder.size(), 1u);
}

}  // namespace
}  // namespace nibble::test
