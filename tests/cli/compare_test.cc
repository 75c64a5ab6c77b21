// nibble compare: one model in several schemes, two models, the text it writes itself.
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "tests/cli/cli_test.h"
#include "tests/support/shared.h"

namespace nibble::test {
namespace {

using nlohmann::json;

json compared(std::vector<std::string> words) {
  words.insert(words.begin(), "compare");
  words.insert(words.end(), {"--runs", "2", "--json"});
  const CommandResult r = run_nibble(words, {.limit_s = 120});
  expect_success(r);
  return json::parse(r.out, nullptr, false);
}

TEST_F(WithModel, ComparesOneModelInSeveralSchemes) {
  const std::string page = out() + ".html";
  const json j =
      compared({model(), "--schemes", "f32,f16,int8,int2:g16", "--prompt", "an", "--report", page});
  ASSERT_EQ(j.at("models").size(), 4u);
  EXPECT_EQ(j.at("own_text"), false);
  const json &base = j.at("models")[0], &worst = j.at("models")[3];
  EXPECT_EQ(base.at("name"), "f32");
  EXPECT_EQ(base.at("kl_mean"), 0.0);
  EXPECT_EQ(base.at("first_difference"), nullptr);
  EXPECT_EQ(base.at("decode_ratio"), 1.0);
  EXPECT_EQ(worst.at("name"), "int2:g16");
  const std::string made = out() + ".int2";
  expect_success(run_nibble({"quantize", model(), "-o", made, "--scheme", "int2:g16"}));
  EXPECT_EQ(worst.at("file_bytes"), std::filesystem::file_size(made + "/model.safetensors"))
      << "a model in memory is as large as its file would be";
  for (const json& m : j.at("models")) {
    EXPECT_EQ(m.at("continuations"), 8);
    EXPECT_FALSE(m.at("prefix_agreement").empty());
    EXPECT_FALSE(m.at("by_position").empty());
    EXPECT_GT(m.at("prefill_tokens_per_second").get<double>(), 0);
    EXPECT_GT(m.at("decode_tokens_per_second").get<double>(), 0);
    const json& l = m.at("latency");
    EXPECT_EQ(l.at("runs"), 2);
    EXPECT_LE(l.at("minimum_seconds"), l.at("q1_seconds"));
    EXPECT_LE(l.at("q1_seconds"), l.at("median_seconds"));
    EXPECT_LE(l.at("median_seconds"), l.at("q3_seconds"));
    EXPECT_LE(l.at("q3_seconds"), l.at("maximum_seconds"));
    EXPECT_EQ(m.at("decode_latency").at("runs"), 2);
    EXPECT_EQ(m.at("speedup").is_null(), &m == &base);
    EXPECT_FALSE(m.at("text").get<std::string>().empty());
    EXPECT_FALSE(m.at("verdict").get<std::string>().empty());
  }
  // Two rounds carry no verdict, whatever they found.
  EXPECT_EQ(worst.at("decode_speedup").at("rounds"), 2);
  EXPECT_EQ(worst.at("decode_speedup").at("verdict"), "unknown");
  EXPECT_EQ(worst.at("decode_speedup").at("low"), nullptr);
  EXPECT_NE(get_file(page).find("Do differences grow with length?"), std::string::npos);
}

TEST_F(WithModel, CompareNamesATextThatIsTooShort) {
  const std::string text = folder_ / "empty.txt";
  put_file(text, "");
  expect_rejected(run_nibble({"compare", model(), model(), "--text", text}), 65,
                  "empty.txt: measuring needs at least 2 tokens");
}

TEST_F(WithModel, ComparesTwoModels) {
  expect_success(run_nibble(quantize("int8")));
  const json j = compared({model(), out()});
  ASSERT_EQ(j.at("models").size(), 2u);
  EXPECT_EQ(j.at("models")[0].at("name"), "model");
  EXPECT_EQ(j.at("models")[1].at("name"), "out");
  EXPECT_EQ(j.at("models")[1].at("scheme"), "int8");
}

TEST_F(WithModel, PrintsATableWithVerdicts) {
  const CommandResult r = run_nibble(
      {"compare", model(), "--schemes", "int8", "--runs", "2", "--continuations", "0", "--quiet"},
      {.limit_s = 120});
  expect_success(r);
  EXPECT_NE(r.out.find("\nint8: "), std::string::npos) << r.out;
  EXPECT_NE(r.out.find("; timed in too few rounds to compare its speed (2 of 6)\n"),
            std::string::npos)
      << r.out;
}

TEST_F(WithModel, ComparesSpeedsFromSixRoundsOn) {
  const CommandResult r = run_nibble({"compare", model(), "--schemes", "int8", "--runs", "6",
                                      "--continuations", "0", "--quiet", "--json"},
                                     {.limit_s = 120});
  expect_success(r);
  const json m = json::parse(r.out).at("models")[1];
  for (const char* key : {"speedup", "prefill_speedup", "decode_speedup"}) {
    const json& s = m.at(key);
    EXPECT_EQ(s.at("rounds"), 6);
    EXPECT_NE(s.at("verdict"), "unknown");
    EXPECT_LE(s.at("low"), s.at("median"));
    EXPECT_LE(s.at("median"), s.at("high"));
  }
  EXPECT_EQ(m.at("dequantized_speedup").at("rounds"), 6);
  EXPECT_NE(m.at("speed_verdict").get<std::string>().find("as fast"), std::string::npos);
}

TEST(Compare, MeasuresOnItsOwnTextAndSaysSo) {
  const std::string model = "../shared/data/models/stories260k";
  if (lacks_shared(model)) GTEST_SKIP() << model;
  const CommandResult r = run_nibble(
      {"compare", model, "--schemes", "int8", "--runs", "1", "--continuations", "2", "--json"},
      {.limit_s = 120});
  expect_success(r);
  EXPECT_NE(r.err.find("wrote itself"), std::string::npos) << r.err;
  EXPECT_EQ(json::parse(r.out).at("own_text"), true);
}

}  // namespace
}  // namespace nibble::test
