// nibble generate: what the files of a model say of where a text begins and ends, how tokens are
// chosen, and ids that tokenizer and model do not share.
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "tests/cli/cli_test.h"
#include "tests/support/shared.h"

namespace nibble::test {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;
const std::string kDefaultsCases = "../shared/cases/";

CommandResult run_generate(const std::string& model, std::vector<std::string> more) {
  std::vector<std::string> words = {"generate", model};
  words.insert(words.end(), more.begin(), more.end());
  return run_nibble(words, {.limit_s = 60});
}

json generated(const std::string& model, std::vector<std::string> more) {
  more.emplace_back("--json");
  const CommandResult r = run_generate(model, std::move(more));
  expect_success(r);
  return json::parse(r.out, nullptr, false);
}

// A copy of a shared case whose files may be changed.
class Case : public ::testing::Test {
 protected:
  void copy(const std::string& name) {
    if (lacks_shared(kDefaultsCases + name)) GTEST_SKIP() << kDefaultsCases << name;
    fs::create_directory(model());
    for (const auto& entry : fs::directory_iterator(kDefaultsCases + name + "/model")) {
      fs::copy(entry.path(), model() + "/" + entry.path().filename().string());
      fs::permissions(model() + "/" + entry.path().filename().string(), fs::perms::owner_all);
    }
  }
  std::string model() const { return folder_ / "model"; }
  void put(const std::string& name, std::string_view text) {
    fs::remove(model() + "/" + name);
    put_file(model() + "/" + name, text);
  }
  void change(const std::string& name, const json& more) {
    json all = fs::exists(model() + "/" + name) ? json::parse(get_file(model() + "/" + name))
                                                : json::object();
    all.update(more);
    put(name, all.dump());
  }
  // What follows "a", the likeliest each time: b c <|im_end|> d e f <|endoftext|>.
  json ids(std::vector<std::string> more = {}) const {
    std::vector<std::string> words = {"--prompt",         "a", "--temperature", "0",
                                      "--max-new-tokens", "12"};
    words.insert(words.end(), more.begin(), more.end());
    return generated(model(), words).at("ids");
  }
  TempFolder folder_;
};

const json kToFirst = {66, 67}, kToSecond = {66, 67, 2049, 68, 69, 70};

TEST_F(Case, EveryEndThatGenerationConfigListsEndsAText) {
  copy("eos-list");
  if (IsSkipped()) return;
  EXPECT_EQ(ids(), kToFirst);
  // None of the two names it: the tokenizer's own end is left.
  put("generation_config.json", "{}");
  EXPECT_EQ(ids(), kToSecond);
}

TEST_F(Case, EveryEndThatConfigJsonListsEndsAText) {
  copy("eos-list");
  if (IsSkipped()) return;
  fs::remove(model() + "/generation_config.json");
  change("config.json", {{"eos_token_id", {0, 2049}}});
  EXPECT_EQ(ids(), kToFirst);
  change("config.json", {{"eos_token_id", 2049}});
  EXPECT_EQ(ids(), kToFirst);
}

TEST_F(Case, TheEndOfSpecialTokensMapEndsAText) {
  copy("eos-list");
  if (IsSkipped()) return;
  put("generation_config.json", "{}");
  put("special_tokens_map.json", R"({"eos_token":{"content":"<|im_end|>","lstrip":false}})");
  EXPECT_EQ(ids(), kToFirst);
  put("special_tokens_map.json", R"({"eos_token":"<|im_end|>"})");
  EXPECT_EQ(ids(), kToFirst);
  // And so does that of tokenizer_config.json.
  put("special_tokens_map.json", "{}");
  EXPECT_EQ(ids(), kToSecond);
  change("tokenizer_config.json", {{"eos_token", "<|im_end|>"}});
  EXPECT_EQ(ids(), kToFirst);
}

TEST_F(Case, StopStringsOfTheFileEndAText) {
  copy("eos-list");
  if (IsSkipped()) return;
  put("generation_config.json", R"({"stop_strings":["c"]})");
  const json j = generated(model(), {"--prompt", "a", "--temperature", "0"});
  EXPECT_EQ(j.at("text"), "ab");
}

TEST_F(Case, TheEndOfAChatFormatNeedNotBeSpecial) {
  copy("chat-end-not-special");
  if (IsSkipped()) return;
  const auto chat = [&] {
    return generated(model(), {"--prompt", "hi", "--chat", "--chat-format", "chatml",
                               "--temperature", "0", "--max-new-tokens", "12"})
        .at("ids");
  };
  EXPECT_EQ(chat(), kToFirst);
  fs::remove(model() + "/generation_config.json");
  EXPECT_EQ(chat(), kToFirst);  // the format alone names it
}

TEST_F(Case, AnIdWithoutATextShowsAsNothing) {
  copy("padded-vocab-sampled");
  if (IsSkipped()) return;
  const CommandResult r =
      run_generate(model(), {"--prompt", "a", "--temperature", "0", "--max-new-tokens", "8"});
  expect_success(r);
  EXPECT_EQ(r.out, "abcd\n");
  EXPECT_EQ(ids(), (json{66, 2060, 67, 68}));
  const json both = generated(
      model(), {"--prompt", "a", "--prompt", "c", "--temperature", "0", "--max-new-tokens", "8"});
  EXPECT_EQ(both.at("results")[0].at("text"), "abcd");
  EXPECT_EQ(both.at("results")[1].at("text"), "cd");
}

TEST_F(Case, SamplesOfCompareMayHoldSuchIdsToo) {
  copy("padded-vocab-sampled");
  if (IsSkipped()) return;
  put_file(folder_ / "text", std::string(3000, 'a'));
  const CommandResult r = run_nibble({"compare", model(), "--text", folder_ / "text", "--prompt",
                                      "a", "--runs", "1", "--json", "--window", "16"},
                                     {.limit_s = 120});
  expect_success(r);
}

// What compare shows ends where generate would end.
TEST_F(Case, TextsOfCompareEndWhereTheModelSays) {
  copy("eos-list");
  if (IsSkipped()) return;
  put_file(folder_ / "text", std::string(3000, 'a'));
  const auto compared = [&] {
    const CommandResult r =
        run_nibble({"compare", model(), "--text", folder_ / "text", "--prompt", "a", "--runs", "1",
                    "--json", "--window", "16", "--max-new-tokens", "12"},
                   {.limit_s = 120});
    expect_success(r);
    return json::parse(r.out).at("models").at(0);
  };
  EXPECT_EQ(compared().at("text"), "bc");
  EXPECT_EQ(compared().at("text_tokens"), 2);
  put("generation_config.json", "{}");  // the tokenizer's own end is left
  EXPECT_EQ(compared().at("text"), "bc<|im_end|>def");
  EXPECT_EQ(compared().at("text_tokens"), 6);
}

// The model has no row for a token: said when the folder is opened for text, whatever the prompt.
TEST_F(Case, ATokenWithoutARowIsAContradiction) {
  copy("tokenizer-larger");
  if (IsSkipped()) return;
  put_file(folder_ / "text", std::string(3000, 'a'));
  for (const std::vector<std::string>& words : std::vector<std::vector<std::string>>{
           {"generate", model(), "--prompt", "a<extra>", "--max-new-tokens", "2"},
           {"generate", model(), "--prompt", "a"},
           {"eval", model(), "--text", folder_ / "text"},
           {"compare", model(), "--text", folder_ / "text"},
           {"quantize", model(), "-o", folder_ / "out", "--scheme", "int4:g32", "--method", "gptq",
            "--calib", folder_ / "text"}}) {
    expect_rejected(run_nibble(words), 65,
                    "the tokenizer's token \"<extra>\" has the id 2048, but the model's vocabulary "
                    "(the embedding's rows) has 2048");
  }
  EXPECT_FALSE(fs::exists(folder_ / "out"));
}

TEST_F(Case, AnEmptyPromptBeginsWithBos) {
  copy("unclear-empty-prompt");
  if (IsSkipped()) return;
  const auto empty = [&] {
    return generated(model(), {"--prompt", "", "--temperature", "0", "--max-new-tokens", "12"});
  };
  EXPECT_EQ(empty().at("prompt_ids"), (json{0}));
  EXPECT_EQ(empty().at("ids"), kToFirst);
  // Whichever file names it.
  fs::remove(model() + "/generation_config.json");
  EXPECT_EQ(empty().at("ids"), kToFirst);
  change("config.json", {{"bos_token_id", nullptr}});
  EXPECT_EQ(empty().at("ids"), kToFirst);
  put("tokenizer_config.json", R"({"eos_token":"<|endoftext|>"})");
  expect_rejected(run_generate(model(), {"--prompt", ""}), 64, "the prompt is empty, and neither");
}

class Defaults : public WithModel {
 protected:
  void say(std::string_view text) { put_file(model() + "/generation_config.json", text); }
};

TEST_F(Defaults, AreTakenAndTold) {
  say(R"({"do_sample":true,"temperature":0.9,"top_k":3,"repetition_penalty":1.2})");
  const std::vector<std::string> flags = {"--prompt",  "an", "--temperature",        "0.9",
                                          "--top-k",   "3",  "--repetition-penalty", "1.2",
                                          "--samples", "4"};
  const CommandResult r = run_generate(model(), {"--prompt", "an", "--samples", "4", "--json"});
  expect_success(r);
  EXPECT_EQ(r.err,
            "nibble: as generation_config.json says: --temperature 0.9 --top-k 3 "
            "--repetition-penalty 1.2 (give a flag to change it)\n");
  const json j = json::parse(r.out);
  EXPECT_EQ(j.at("sampling").at("temperature"), 0.9);
  EXPECT_EQ(j.at("sampling").at("top_k"), 3);
  EXPECT_EQ(j.at("sampling").at("top_p"), 1.0);
  EXPECT_EQ(j.at("sampling").at("repetition_penalty"), 1.2);
  EXPECT_EQ(j.at("from_generation_config"), (json{"temperature", "top_k", "repetition_penalty"}));
  const json by_flags = generated(model(), flags);
  EXPECT_EQ(by_flags.at("from_generation_config"), json::array());
  EXPECT_EQ(by_flags.at("results"), j.at("results"));
  EXPECT_EQ(run_generate(model(), {"--prompt", "an", "--quiet"}).err, "");
}

TEST_F(Defaults, GiveWayToFlags) {
  const json before = generated(model(), {"--prompt", "an", "--temperature", "0"});
  say(R"({"do_sample":true,"temperature":5.0,"top_k":50})");
  const json after = generated(model(), {"--prompt", "an", "--temperature", "0"});
  EXPECT_EQ(after.at("ids"), before.at("ids"));
  EXPECT_EQ(after.at("from_generation_config"), json::array());
}

TEST_F(Defaults, FlagsThatGreedyChoiceDoesNotReadAreSaid) {
  const auto warned = [&](const std::string& temperature, const std::string& flag,
                          const std::string& value) {
    const CommandResult r = run_generate(
        model(), {"--prompt", "an", "--temperature", temperature, flag, value, "--seed", "5"});
    expect_success(r);
    return r.err.find("warning: " + flag + ": without effect") != std::string::npos;
  };
  for (const auto& [flag, value] :
       {std::pair("--top-k", "5"), std::pair("--top-p", "0.5"), std::pair("--min-p", "0.1")}) {
    EXPECT_TRUE(warned("0", flag, value)) << flag;
    EXPECT_FALSE(warned("0.5", flag, value)) << flag;
  }
  EXPECT_FALSE(warned("0", "--repetition-penalty", "1.5"));
}

TEST_F(Defaults, AreNibblesOwnWithoutTheFileOrWhereItDoesNotSample) {
  const json before = generated(model(), {"--prompt", "an", "--samples", "3"});
  EXPECT_EQ(before.at("sampling").at("temperature"), 0.5);
  say(R"({"do_sample":false,"_from_model_config":true})");
  const json after = generated(model(), {"--prompt", "an", "--samples", "3"});
  EXPECT_EQ(after.at("results"), before.at("results"));
  EXPECT_EQ(after.at("sampling"), before.at("sampling"));
}

TEST_F(Defaults, ThatAreNotDoneAreWarnedOf) {
  say(R"({"num_beams":4})");
  const CommandResult r = run_generate(model(), {"--prompt", "an"});
  expect_success(r);
  EXPECT_NE(
      r.err.find("nibble: warning: " + model() + "/generation_config.json: key \"num_beams\""),
      std::string::npos)
      << r.err;
  EXPECT_EQ(run_generate(model(), {"--prompt", "an", "--quiet"}).err, "");
}

TEST_F(Defaults, ThatCannotBeAreRefused) {
  say(R"({"do_sample":true,"top_p":7})");
  expect_rejected(run_generate(model(), {"--prompt", "an"}), 65,
                  "generation_config.json: key \"top_p\": expected 0 to 1 (got 7)");
  say("{");
  expect_rejected(run_generate(model(), {"--prompt", "an"}), 65, "generation_config.json: ");
}

// A tokenizer that cannot take a text is named, not the text.
TEST_F(Defaults, TheTokenizersFileIsNamedWhereItIsToBlame) {
  if (lacks_shared(kDefaultsCases + "hostile/no_file_named/m")) GTEST_SKIP() << kDefaultsCases;
  const std::string bad = kDefaultsCases + "hostile/no_file_named/";
  for (const std::vector<std::string>& words : std::vector<std::vector<std::string>>{
           {"tokenize", bad + "m", "--file", bad + "t.txt"},
           {"eval", bad + "m", "--text", bad + "t.txt"},
           {"generate", bad + "m", "--prompt-file", bad + "t.txt"}}) {
    expect_rejected(run_nibble(words), 65, bad + "m/tokenizer.json: key \"pre_tokenizer\"");
  }
}

TEST(HostileTokenizers, CostWhatTheTextDoes) {
  const std::string cases = kDefaultsCases + "hostile/";
  if (lacks_shared(cases)) GTEST_SKIP() << cases;
  const std::string grows = cases + "normalizer_without_bounds/";
  for (const std::vector<std::string>& words : std::vector<std::vector<std::string>>{
           {"tokenize", grows + "many", "--file", grows + "t.txt"},
           {"tokenize", grows + "grows", "--text", "aaaa"},
           {"tokenize", grows + "at_load", "--text", "b"},
           {"generate", grows + "decoder", "--prompt", "banana", "--max-new-tokens", "2"},
           {"tokenize", cases + "regex_reads_to_the_end/m", "--file",
            cases + "regex_reads_to_the_end/t.txt"}}) {
    const CommandResult r = run_nibble(words);
    expect_rejected(r, 65, "/tokenizer.json: key \"");
    EXPECT_LT(r.seconds, kSanitized ? 20 : 2) << words[1];
    if (!kSanitized) {
      EXPECT_LT(r.peak_rss_bytes, int64_t{80} << 20) << words[1];
    }
  }
}

}  // namespace
}  // namespace nibble::test
