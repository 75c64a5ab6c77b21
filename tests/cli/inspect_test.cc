// nibble inspect and estimate: the memory plan, and what opening a model found odd.
#include <gtest/gtest.h>

#include <cstring>
#include <nlohmann/json.hpp>

#include "tests/cli/cli_test.h"

namespace nibble::test {
namespace {

using nlohmann::json;

TEST_F(WithModel, InspectPlansTheMemory) {
  const CommandResult r = run_nibble({"inspect", model(), "--json"});
  expect_success(r);
  EXPECT_EQ(r.err, "");
  const json j = json::parse(r.out);
  const json& memory = j.at("memory");
  // The micro preset: 1 layer, 4 heads of 4, context 16.
  EXPECT_EQ(memory.at("context"), 16);
  // Four heads of 4: keys as they are, values filled up to 16.
  EXPECT_EQ(memory.at("kv_bytes_per_token").at("f32"), 4 * (4 + 16) * 4);
  EXPECT_EQ(memory.at("kv_bytes_per_token").at("f16"), 4 * (4 + 16) * 2);
  EXPECT_EQ(memory.at("kv_bytes_full_context").at("f32"), 16 * 4 * (4 + 16) * 4);
  EXPECT_GE(memory.at("weight_bytes"), memory.at("weight_bytes_per_token"));
  EXPECT_EQ(j.at("parameters_by_scheme").at("f32"), j.at("parameters"));
  EXPECT_TRUE(j.at("warnings").empty());
}

// What would be passed over is refused.
TEST_F(WithModel, InspectTakesNoOptionThatItWouldIgnore) {
  const std::string page = out() + ".html";
  const auto refused = [&](std::vector<std::string> words, const std::string& why) {
    words.insert(words.begin(), {"inspect", model()});
    expect_rejected(run_nibble(words), 64, why);
  };
  refused({"--samples", "3"}, "--samples needs --activations");
  refused({"--text", "data/names.txt"}, "--text needs --activations");
  refused({"--magnitude", "3"}, "--magnitude needs --activations");
  refused({"wte.weight", "--report", page}, "--report needs --activations");
  refused({"wte.weight", "--activations"}, "a tensor and --activations");
  refused({"--sigmas", "3"}, "--sigmas needs a tensor or --activations");
  expect_success(run_nibble({"inspect", model(), "wte.weight", "--sigmas", "3"}));
  expect_success(run_nibble({"inspect", model(), "--activations", "data/names.txt", "--samples",
                             "32", "--magnitude", "3", "--sigmas", "3", "--report", page}));
}

TEST_F(WithModel, TokenizeTakesOneText) {
  expect_rejected(run_nibble({"tokenize", model(), "--text", "an", "--file", "data/names.txt"}), 64,
                  "--text excludes --file");
  // An empty text is one; standard input is not waited for.
  const CommandResult r =
      run_nibble({"tokenize", model(), "--text", "", "--no-special", "--json"}, {.input = "anna"});
  expect_success(r);
  EXPECT_EQ(json::parse(r.out).at("ids"), json::array());
}

TEST_F(WithModel, G16_TensorsThatNothingUsesAreAWarning) {
  std::string bytes = get_file(weights());
  // One more tensor of no bytes, where the header begins.
  uint64_t length = 0;
  std::memcpy(&length, bytes.data(), 8);
  const std::string more = R"("spare":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},)";
  bytes.insert(9, more);
  length += more.size();
  std::memcpy(bytes.data(), &length, 8);
  put_file(weights(), bytes);
  for (const std::vector<std::string>& words :
       {std::vector<std::string>{"generate", model(), "--prompt", "a"},
        {"inspect", model()},
        {"eval", model(), "--text", "data/names.txt", "--heldout"}}) {
    const CommandResult r = run_nibble(words, {.limit_s = 60});
    expect_success(r);
    EXPECT_NE(r.err.find("warning: " + model() + ": 1 tensor in the file is not used"),
              std::string::npos)
        << r.err;
  }
  const CommandResult quiet = run_nibble({"generate", model(), "--prompt", "a", "--quiet"});
  expect_success(quiet);
  EXPECT_EQ(quiet.err, "");
}

TEST(Estimate, TellsWhatFits) {
  const CommandResult r = run_nibble({"estimate", "--params", "1.1B", "--context", "2048",
                                      "--bandwidth", "40", "--schemes", "f32,int8", "--json"});
  expect_success(r);
  const json j = json::parse(r.out);
  EXPECT_EQ(j.at("bandwidth_measured"), false);
  EXPECT_EQ(j.at("schemes").size(), 2u);
  const json& f32 = j.at("schemes")[0];
  EXPECT_NEAR(f32.at("memory_bytes").get<double>(), 4.4e9, 0.3e9);
  EXPECT_DOUBLE_EQ(f32.at("decode_tokens_per_second").get<double>(),
                   40e9 / f32.at("weight_bytes").get<double>());
  EXPECT_EQ(f32.at("total_bytes"), f32.at("memory_bytes").get<int64_t>() +
                                       f32.at("kv_bytes").get<int64_t>() +
                                       f32.at("scratch_bytes").get<int64_t>());
  expect_rejected(run_nibble({"estimate"}), 64, "--params");
  expect_rejected(run_nibble({"estimate", "--params", "7X"}), 64, "7X");
  expect_rejected(run_nibble({"estimate", "--params", "7B", "--schemes", "int9"}), 64, "scheme");
}

TEST(Estimate, MeasuresTheMachine) {
  const CommandResult r =
      run_nibble({"estimate", "--shape", "gpt2-124m", "--json"}, {.limit_s = 60});
  expect_success(r);
  const json j = json::parse(r.out);
  EXPECT_EQ(j.at("bandwidth_measured"), true);
  EXPECT_GT(j.at("bandwidth_bytes_per_second").get<double>(), 1e8);
  EXPECT_EQ(j.at("parameters"), 124439808);
}

}  // namespace
}  // namespace nibble::test
