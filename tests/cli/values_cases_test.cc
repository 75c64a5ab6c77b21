// Cases of ../shared/cases about values: numbers that are not finite or do not fit, settings of
// config.json that change the function.
#include <nlohmann/json.hpp>

#include "tests/cli/cli_test.h"

namespace nibble::test {
namespace {

using nlohmann::json;

const std::string kCases = "../shared/cases/";

class ValueCase : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists(kCases)) GTEST_SKIP() << kCases << " is not there";
  }
  static std::string model(const std::string& name) { return kCases + name + "/model"; }
  static CommandResult eval(const std::string& name, std::vector<std::string> more = {}) {
    std::vector<std::string> words = {"eval", model(name), "--text", kCases + name + "/text.txt",
                                      "--json"};
    words.insert(words.end(), more.begin(), more.end());
    return run_nibble(words, {.limit_s = 60});
  }
  // The loss that a successful eval tells.
  static double nll(const CommandResult& r) {
    expect_success(r);
    return json::parse(r.out).at("mean_nll").get<double>();
  }
  TempFolder folder_;
};

TEST_F(ValueCase, RopeScalingBesideRopeParameters) {
  EXPECT_NEAR(nll(eval("rope-scaling-beside-rope-parameters")), 1.984278, 1e-6);
}

TEST_F(ValueCase, PartialRotaryAtTheTop) {
  const CommandResult r = eval("partial-rotary-top-level");
  EXPECT_EQ(r.exit_code, 65);
  EXPECT_NE(r.err.find("partial_rotary_factor"), std::string::npos) << r.err;
}

TEST_F(ValueCase, SettingsOfTheWrongTypeAreNotAbsent) {
  const std::pair<const char*, const char*> cases[] = {
      {"rope_scaling_string", "rope_scaling"},
      {"rope_scaling_list", "rope_scaling"},
      {"rope_type_list", "rope_scaling.rope_type"},
      {"partial_rotary_factor", "partial_rotary_factor"}};
  for (const auto& [name, key] : cases) {
    const std::string path = kCases + "hostile/config_of_wrong_type_ignored/" + name;
    expect_rejected(run_nibble({"inspect", path}), 65, "key \"" + std::string(key) + '"');
  }
}

// A key that nobody knows is named where people and programs look.
TEST_F(ValueCase, UnknownKeysAreWarnedOf) {
  const std::string copy = folder_ / "model";
  std::filesystem::copy(model("tied-lm-head"), copy, std::filesystem::copy_options::recursive);
  std::filesystem::permissions(copy + "/config.json", std::filesystem::perms::owner_all);
  json config = json::parse(get_file(copy + "/config.json"));
  config["head_twist"] = 0.5;
  put_file(copy + "/config.json", config.dump());
  const CommandResult r = run_nibble({"inspect", copy, "--json"}, {.limit_s = 60});
  expect_success(r);
  EXPECT_NE(json::parse(r.out).at("warnings").dump().find("head_twist"), std::string::npos);
  EXPECT_NE(run_nibble({"inspect", copy}).err.find("\"head_twist\" is not a key"),
            std::string::npos);
}

}  // namespace
}  // namespace nibble::test
