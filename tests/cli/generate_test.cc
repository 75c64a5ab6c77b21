// nibble generate: several prompts, chats, texts beyond the context, fields of the JSON.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>

#include "tests/cli/cli_test.h"
#include "tests/support/shared.h"

namespace nibble::test {
namespace {

using nlohmann::json;

std::vector<std::string> generate(const std::string& model, std::vector<std::string> more) {
  std::vector<std::string> words = {"generate", model, "--temperature", "0"};
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

json result(const std::string& model, std::vector<std::string> more) {
  more.emplace_back("--json");
  const CommandResult r = run_nibble(generate(model, std::move(more)), {.limit_s = 60});
  expect_success(r);
  return json::parse(r.out, nullptr, false);
}

TEST_F(WithModel, GeneratesForSeveralPromptsWhatItDoesForEach) {
  const json both = result(model(), {"--prompt", "an", "--prompt", "k", "--samples", "2"});
  ASSERT_EQ(both.at("results").size(), 4u);
  for (const std::string prompt : {"an", "k"}) {
    const json one = result(model(), {"--prompt", prompt, "--samples", "2"});
    for (size_t i = 0; i < 2; ++i)
      EXPECT_EQ(both.at("results")[i + (prompt == "k" ? 2 : 0)], one.at("results")[i]);
    EXPECT_EQ(one.at("text"), one.at("results")[0].at("text"));
    EXPECT_EQ(one.at("ids"), one.at("results")[0].at("ids"));
    EXPECT_EQ(one.at("samples").size(), 2u);
  }
  put_file(folder_ / "prompts", "an\r\n\nk");
  EXPECT_EQ(
      result(model(), {"--prompts-file", folder_ / "prompts", "--samples", "2"}).at("results"),
      both.at("results"));
  // However they are put together.
  EXPECT_EQ(result(model(), {"--prompt", "an", "--prompt", "k", "--samples", "2", "--batch", "1",
                             "--prefill-chunk", "1"})
                .at("results"),
            both.at("results"));
}

TEST_F(WithModel, TellsWhatItMeasured) {
  const json j = result(model(), {"--prompt", "an", "--max-new-tokens", "6", "--kv", "f16"});
  EXPECT_EQ(j.at("schema_version"), 1);
  EXPECT_EQ(j.at("prompt"), "an");
  EXPECT_EQ(j.at("prompt_ids").size(), 3u);  // BOS as well
  EXPECT_EQ(j.at("kv"), "f16");
  EXPECT_GT(j.at("prefill_tokens_per_second").get<double>(), 0);
  EXPECT_GE(j.at("decode_tokens_per_second").get<double>(), 0);
  EXPECT_EQ(j.at("text").get<std::string>().substr(0, 2), "an");
}

TEST_F(WithModel, ShiftsWhereTheContextIsFull) {
  const CommandResult r =
      run_nibble(generate(model(), {"--prompt", "an", "--max-new-tokens", "60"}));
  expect_rejected(r, 64, "--shift");
  EXPECT_NE(r.err.find("context of 16"), std::string::npos);
  const json j = result(model(), {"--prompt", "an", "--max-new-tokens", "60", "--shift"});
  EXPECT_LE(j.at("ids").size(), 60u);
}

TEST_F(WithModel, RefusesPromptsThatContradictEachOther) {
  put_file(folder_ / "prompts", "\n\n");
  expect_rejected(run_nibble(generate(model(), {"--prompts-file", folder_ / "prompts"})), 65,
                  folder_ / "prompts");
  expect_rejected(
      run_nibble(generate(model(), {"--prompt", "a", "--prompts-file", folder_ / "prompts"})), 64,
      "not several");
  expect_rejected(run_nibble(generate(model(), {"--system", "a"})), 64, "--chat");
  expect_rejected(run_nibble(generate(model(), {"--kv", "int3"})), 64, "--kv");
}

TEST_F(WithModel, LogProbabilitiesComeWithTheTokens) {
  const json j = result(model(), {"--prompt", "an", "--max-new-tokens", "5", "--logprobs", "3"});
  const json& logprobs = j.at("results")[0].at("logprobs");
  ASSERT_EQ(logprobs.size(), j.at("ids").size());
  ASSERT_FALSE(logprobs.empty());
  for (size_t i = 0; i < logprobs.size(); ++i) {
    const json& one = logprobs[i];
    EXPECT_EQ(one.at("id"), j.at("ids")[i]);
    ASSERT_EQ(one.at("best").size(), 3u);
    // Greedy: the likeliest is the one chosen.
    EXPECT_EQ(one.at("best")[0].at("logprob"), one.at("logprob"));
    EXPECT_LT(one.at("logprob").get<double>(), 0);
    EXPECT_GE(one.at("best")[1].at("logprob"), one.at("best")[2].at("logprob"));
    EXPECT_TRUE(one.at("token").is_string());
  }
  EXPECT_FALSE(result(model(), {"--prompt", "an"}).at("results")[0].contains("logprobs"));
  expect_rejected(run_nibble(generate(model(), {"--logprobs", "3"})), 64, "--json");
  const CommandResult below = run_nibble(generate(model(), {"--logprobs", "-3", "--json"}));
  EXPECT_EQ(below.exit_code, 64);
  EXPECT_NE(below.err.find("--logprobs -3: expected 0 to 1000"), std::string::npos) << below.err;
}

TEST_F(WithModel, ABiasForbidsATokenByIdOrText) {
  const json before = result(model(), {"--prompt", "an", "--max-new-tokens", "5"});
  const int first = before.at("ids")[0];
  const json after = result(model(), {"--prompt", "an", "--max-new-tokens", "5", "--logit-bias",
                                      std::to_string(first) + "=-inf"});
  for (const json& id : after.at("ids")) EXPECT_NE(id, first);
  EXPECT_EQ(after.at("sampling").at("logit_bias")[0].at("id"), first);
  const json forced =
      result(model(), {"--prompt", "an", "--max-new-tokens", "3", "--logit-bias", "k=1000"});
  EXPECT_EQ(forced.at("text"), "ankkk");
  for (const auto& [bias, words] : std::vector<std::pair<std::string, std::string>>{
           {"k", "expected ID=VALUE or TEXT=VALUE"},
           {"ka=1", "the text is 2 tokens"},
           {"1=inf", "expected a number or -inf"},
           {"1=x", "expected a number or -inf"},
           {"99999=1", "expected an id below the model's vocabulary"},
           {"\"k=1", "expected a JSON string"}})
    expect_rejected(run_nibble(generate(model(), {"--logit-bias", bias})), 64, words);
}

TEST_F(WithModel, PenaltiesKeepItFromRepeating) {
  for (const std::vector<std::string>& flags : std::vector<std::vector<std::string>>{
           {"--presence-penalty", "1000"},
           {"--frequency-penalty", "1000"},
           {"--dry-multiplier", "1000", "--dry-allowed-length", "1", "--dry-breaker", "none"}}) {
    std::vector<std::string> words = {"--prompt", "an", "--shift", "--max-new-tokens", "8"};
    words.insert(words.end(), flags.begin(), flags.end());
    const json j = result(model(), words);
    const auto ids = j.at("ids").get<std::vector<int>>();
    ASSERT_FALSE(ids.empty());
    // DRY lets a token come again, but not behind the same one.
    std::set<std::pair<int, int>> seen;
    for (size_t i = 0; i < ids.size(); ++i) {
      const bool dry = flags[0] == "--dry-multiplier";
      EXPECT_TRUE(seen.insert({dry && i > 0 ? ids[i - 1] : -1, ids[i]}).second) << flags[0];
    }
  }
  for (const auto& [flag, value] :
       std::vector<std::pair<std::string, std::string>>{{"--typical-p", "0"},
                                                        {"--top-n-sigma", "-1"},
                                                        {"--dry-base", "0.5"},
                                                        {"--dry-allowed-length", "0"},
                                                        {"--dry-multiplier", "-1"}})
    expect_rejected(run_nibble(generate(model(), {flag, value})), 64, flag + " must be");
}

TEST_F(WithModel, HasNoChatTemplate) {
  expect_rejected(run_nibble(generate(model(), {"--chat", "--prompt", "a"})), 65,
                  "no chat template");
  expect_rejected(run_nibble(generate(model(), {"--chat", "--chat-format", "x"})), 64, "chatml");
}

// G21: a template can do nothing but make text, and not without end.
TEST_F(WithModel, HostileChatTemplatesEndWithALine) {
  for (const std::string& bad :
       {std::string("{% for i in range(10**9) %}x{% endfor %}"),
        std::string("{% for i in range(99999) %}{% for i in range(99999) %}{{ [i] }}{% endfor %}"
                    "{% endfor %}"),
        std::string("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}"),
        std::string("{{ 'x' * 10 ** 12 }}"), std::string("{{ x.__class__ }}"),
        std::string("{{ ''.__class__.__mro__ }}"), std::string(10 << 20, 'x')}) {
    put_file(model() + "/chat_template.jinja", bad);
    const CommandResult r = run_nibble(generate(model(), {"--chat", "--prompt", "a"}));
    expect_rejected(r, 65, "chat template");
    EXPECT_LT(r.err.size(), 1000u);
    EXPECT_LT(r.seconds, 2);
  }
}

TEST_F(WithModel, TrainsWithoutAFolderAndWritesNothing) {
  const auto before = contents(folder_.path());
  const std::string data = std::filesystem::absolute("data/names.txt").string();
  const std::string here = folder_.path();
  expect_success(run_nibble({"train", "micro", "--steps", "3", "--batch", "1", "--data", data},
                            {.limit_s = 60, .in_child = [here] {
                               if (chdir(here.c_str()) != 0) _exit(126);
                             }}));
  EXPECT_EQ(contents(folder_.path()), before);
}

class Chat : public ::testing::Test {
 protected:
  void SetUp() override {
    const std::string original = "../shared/data/models/gpt2-shakespeare";
    if (lacks_shared(original)) GTEST_SKIP() << original;
    std::filesystem::create_directory(model());
    for (const auto& entry : std::filesystem::directory_iterator(original)) {
      std::filesystem::create_symlink(std::filesystem::absolute(entry.path()),
                                      model() + "/" + entry.path().filename().string());
    }
    put_file(model() + "/chat_template.jinja",
             "{% for message in messages %}{{ \"<|im_start|>\" + message.role + \"\\n\" + "
             "message.content + \"<|im_end|>\" + \"\\n\" }}{% endfor %}\n{%- if "
             "add_generation_prompt %}{{ \"<|im_start|>assistant\\n\" }}{% endif %}");
  }
  std::string model() const { return folder_ / "model"; }
  TempFolder folder_;
};

TEST_F(Chat, RendersTheTemplateAndPrintsTheAnswer) {
  const json j = result(model(), {"--chat", "--system", "Be brief.", "--prompt", "Who's there?",
                                  "--max-new-tokens", "5"});
  EXPECT_EQ(j.at("prompt"),
            "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nWho's there?<|im_end|>\n"
            "<|im_start|>assistant\n");
  EXPECT_EQ(j.at("text").get<std::string>().find("im_start"), std::string::npos);
  // As text these are the same tokens, for this model has none of them as special ones.
  EXPECT_EQ(
      result(model(), {"--prompt", j.at("prompt").get<std::string>(), "--max-new-tokens", "5"})
          .at("ids"),
      j.at("ids"));
}

TEST_F(Chat, AFormatCanBeNamed) {
  put_file(model() + "/chat_template.jinja", "another");
  const json j = result(
      model(), {"--chat", "--chat-format", "tulu", "--prompt", "Hi", "--max-new-tokens", "1"});
  EXPECT_EQ(j.at("prompt"), "<|user|>\nHi\n<|assistant|>\n");
}

TEST_F(Chat, TheTemplateIsToldWhatTheCallerSays) {
  put_file(model() + "/chat_template.jinja",
           "{{ messages[0].content }}|{{ enable_thinking }}|{{ effort|upper }}|"
           "{{ strftime_now('%d.%m.%Y') }}");
  const std::vector<std::string> words = {"--chat",
                                          "--prompt",
                                          "Hi",
                                          "--template-arg",
                                          "enable_thinking=false",
                                          "--template-arg",
                                          "effort=high",
                                          "--template-date",
                                          "2026-01-15",
                                          "--max-new-tokens",
                                          "1"};
  EXPECT_EQ(result(model(), words).at("prompt"), "Hi|False|HIGH|15.01.2026");
  expect_rejected(run_nibble(generate(model(), {"--chat", "--prompt", "a", "--template-arg", "x"})),
                  64, "--template-arg");
  expect_rejected(
      run_nibble(generate(model(), {"--chat", "--prompt", "a", "--template-date", "today"})), 64,
      "--template-date");
  expect_rejected(run_nibble(generate(model(), {"--prompt", "a", "--template-arg", "x=1"})), 64,
                  "--chat");
}

TEST_F(Chat, ATemplateThatRefusesIsHeard) {
  put_file(model() + "/chat_template.jinja", "\n{{ raise_exception('Not today.') }}");
  expect_rejected(run_nibble(generate(model(), {"--chat", "--prompt", "a"})), 65,
                  "chat template, line 2: the template refuses: Not today.");
}

CommandResult tokenized_chat(const std::string& model, const std::string& file,
                             std::vector<std::string> more = {}) {
  std::vector<std::string> words = {"tokenize", model, "--chat", file};
  words.insert(words.end(), more.begin(), more.end());
  return run_nibble(words);
}

TEST_F(Chat, AConversationAsItsModelSeesIt) {
  const std::string file = folder_ / "chat.json";
  put_file(file, R"({"messages": [{"role": "user", "content": "One?"}, {"role": "assistant",
                 "content": "1"}, {"role": "user", "content": "Two?"}]})");
  const CommandResult r = tokenized_chat(model(), file, {"--json"});
  expect_success(r);
  const json j = json::parse(r.out);
  EXPECT_EQ(j.at("text"),
            "<|im_start|>user\nOne?<|im_end|>\n<|im_start|>assistant\n1<|im_end|>\n"
            "<|im_start|>user\nTwo?<|im_end|>\n<|im_start|>assistant\n");
  const json plain = json::parse(run_nibble({"tokenize", model(), "--no-special", "--json",
                                             "--text", j.at("text").get<std::string>()})
                                     .out);
  EXPECT_EQ(j.at("ids"), plain.at("ids"));
  EXPECT_FALSE(plain.contains("text"));
  put_file(file, R"({"messages": [{"role": "user", "content": "a"}], "tools": [{"name": "t"}],
                 "add_generation_prompt": false, "more": [1]})");
  put_file(model() + "/chat_template.jinja",
           "{{ tools|tojson }}{{ add_generation_prompt }}{{ more }}{{ strftime_now('%Y') }}");
  EXPECT_EQ(
      json::parse(tokenized_chat(model(), file, {"--json", "--template-date", "2031-01-01"}).out)
          .at("text"),
      "[{\"name\": \"t\"}]False[1]2031");
}

TEST_F(Chat, RefusesWhatIsNoConversation) {
  const std::string file = folder_ / "chat.json";
  expect_rejected(tokenized_chat(model(), folder_ / "nothing.json"), 66, "nothing.json");
  for (const char* wrong : {"", "x", "[]", "{}", R"({"messages": {}})", R"({"message": []})",
                            R"({"messages": [{"content": "a"}]})"}) {
    put_file(file, wrong);
    expect_rejected(tokenized_chat(model(), file), 65, "chat.json");
  }
  put_file(file, R"({"messages": [{"role": "user", "content": "a"}]})");
  expect_rejected(tokenized_chat(model(), file, {"--text", "a"}), 64, "--text");
  expect_rejected(tokenized_chat(model(), file, {"--template-date", "x"}), 64, "--template-date");
  expect_rejected(run_nibble({"tokenize", model(), "--text", "a", "--template-arg", "x=1"}), 64,
                  "--chat");
  std::filesystem::remove(model() + "/chat_template.jinja");
  expect_rejected(tokenized_chat(model(), file), 65, "no chat template");
  expect_success(tokenized_chat(model(), file, {"--chat-format", "chatml"}));
  put_file(model() + "/chat_template.jinja", "{% if %}");
  expect_rejected(tokenized_chat(model(), file), 65, "chat template, line 1: expected");
}

// Each line of a pipe is a turn; the second one is answered with the first in mind.
TEST_F(Chat, IsADialogueWhereThereIsNoPrompt) {
  const std::vector<std::string> words = {"--chat", "--system", "Be brief.", "--max-new-tokens",
                                          "6"};
  std::vector<std::string> as_json = words;
  as_json.emplace_back("--json");
  const CommandResult r = run_nibble(
      generate(model(), as_json), {.input = "Who's there?\n\n  \nAnd who are you?", .limit_s = 60});
  expect_success(r);
  const json turns = json::parse(r.out).at("results");
  ASSERT_EQ(turns.size(), 2u);
  const std::string begun =
      "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nWho's there?<|im_end|>\n"
      "<|im_start|>assistant\n";
  EXPECT_EQ(turns[0].at("prompt"), begun);
  EXPECT_EQ(turns[1].at("prompt"), begun + turns[0].at("text").get<std::string>() +
                                       "<|im_end|>\n<|im_start|>user\nAnd who are you?<|im_end|>\n"
                                       "<|im_start|>assistant\n");
  const CommandResult shown =
      run_nibble(generate(model(), words), {.input = "Who's there?\r\n", .limit_s = 60});
  expect_success(shown);
  EXPECT_EQ(shown.out, turns[0].at("text").get<std::string>() + "\n");
}

TEST_F(Chat, ADialogueNeedsTurns) {
  expect_rejected(run_nibble(generate(model(), {"--chat"}), {.input = "\n \n"}), 65,
                  "standard input");
  expect_rejected(run_nibble(generate(model(), {"--chat", "--samples", "2"})), 64, "--samples");
  expect_rejected(run_nibble(generate(model(), {"--chat", "--shift"})), 64, "--shift");
}

}  // namespace
}  // namespace nibble::test
