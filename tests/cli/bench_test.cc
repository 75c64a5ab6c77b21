// nibble bench: speeds with their spread, and against a baseline in the same rounds.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <regex>

#include "tests/cli/cli_test.h"

namespace nibble::test {
namespace {

using nlohmann::json;

class Bench : public WithModel {
 protected:
  std::vector<std::string> bench(std::vector<std::string> more) const {
    std::vector<std::string> out = {"bench", model(), "--prefill", "8", "--decode", "4"};
    out.insert(out.end(), more.begin(), more.end());
    return out;
  }
  json found(std::vector<std::string> more) const {
    more.insert(more.end(), {"--json", "--quiet"});
    const CommandResult r = run_nibble(bench(more), {.limit_s = 60});
    expect_success(r);
    return json::parse(r.out, nullptr, false);
  }
};

TEST_F(Bench, TellsTheSpreadOfEveryTime) {
  const json j = found({"--runs", "7"});
  EXPECT_EQ(j.at("runs"), 7);
  for (const char* key : {"prefill_latency", "decode_latency"}) {
    const json& l = j.at(key);
    EXPECT_EQ(l.at("runs"), 7);
    EXPECT_GT(l.at("minimum_seconds"), 0.0);
    EXPECT_LE(l.at("minimum_seconds"), l.at("q1_seconds"));
    EXPECT_LE(l.at("q1_seconds"), l.at("median_seconds"));
    EXPECT_LE(l.at("median_seconds"), l.at("q3_seconds"));
    EXPECT_LE(l.at("q3_seconds"), l.at("maximum_seconds"));
  }
  EXPECT_DOUBLE_EQ(j.at("decode_tokens_per_second"),
                   4 / j.at("decode_latency").at("median_seconds").get<double>());
  EXPECT_GE(j.at("waited_share"), 0.0);
  EXPECT_TRUE(j.at("busy").is_boolean());
  EXPECT_FALSE(j.contains("decode_speedup"));
}

TEST_F(Bench, RunsUntilItIsEnough) {
  const json j = found({});
  EXPECT_GE(j.at("runs"), 9);
  EXPECT_LE(j.at("runs"), 1000);
}

TEST_F(Bench, TimesABaselineInTheSameRounds) {
  const json j = found({"--scheme", "int8", "--against", model(), "--runs", "6"});
  EXPECT_EQ(j.at("scheme"), "int8");
  EXPECT_EQ(j.at("against_scheme"), "f32");
  EXPECT_GT(j.at("against_decode_tokens_per_second"), 0.0);
  for (const char* key : {"prefill_speedup", "decode_speedup"}) {
    EXPECT_EQ(j.at(key).at("rounds"), 6) << key;
    EXPECT_LE(j.at(key).at("low"), j.at(key).at("high")) << key;
  }
  expect_rejected(run_nibble(bench({"--against", model() + "-none"})), 66, "-none");
}

TEST_F(Bench, PrintsMediansWithTheirQuartiles) {
  const CommandResult r =
      run_nibble(bench({"--runs", "3", "--against", model(), "--quiet"}), {.limit_s = 60});
  expect_success(r);
  EXPECT_TRUE(
      std::regex_search(r.out, std::regex(R"(decode of 4: +[0-9.]+ \([0-9.]+-[0-9.]+\) tokens/s)")))
      << r.out;
  EXPECT_NE(r.out.find("medians of 3 rounds"), std::string::npos) << r.out;
  EXPECT_NE(r.out.find("decode: timed in too few rounds to compare its speed (3 of 6)"),
            std::string::npos)
      << r.out;
}

}  // namespace
}  // namespace nibble::test
