// nibble merge and --adapter: what they print, and how they refuse.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/cli/cli_test.h"
#include "tests/support/adapters.h"

namespace nibble::test {
namespace {

using nlohmann::json;

class WithAdapter : public WithModel {
 protected:
  void SetUp() override {
    WithModel::SetUp();
    if (!HasFatalFailure()) adapter_for(model(), adapter(), 1);
  }
  std::string adapter() const { return folder_ / "adapter"; }
  std::vector<std::string> merging(std::vector<std::string> more = {}) const {
    std::vector<std::string> out = {"merge", model(), "--adapter", adapter(), "-o", this->out()};
    out.insert(out.end(), more.begin(), more.end());
    return out;
  }
  double loss(std::vector<std::string> more) const {
    more.insert(more.begin(), {"eval", "--text", "data/names.txt", "--heldout", "--json"});
    const CommandResult r = run_nibble(more);
    expect_success(r);
    return json::parse(r.out).at("mean_nll");
  }
};

TEST_F(WithAdapter, MergedAndBesideAreOneModel) {
  const CommandResult r = run_nibble(merging({"--text", "data/names.txt", "--heldout", "--json"}));
  expect_success(r);
  const json j = json::parse(r.out);
  EXPECT_EQ(j.at("out"), out());
  EXPECT_EQ(j.at("parameters_changed"), 6);
  EXPECT_EQ(j.at("matrices_quantized"), 0);
  ASSERT_EQ(j.at("models").size(), 2u);
  const double beside = loss({model(), "--adapter", adapter()}), merged = loss({out()});
  EXPECT_EQ(j.at("models")[0].at("loss"), beside);
  EXPECT_EQ(j.at("models")[1].at("loss"), merged);
  EXPECT_NEAR(merged, beside, 1e-6 * beside);
  EXPECT_NE(loss({model(), "--adapter", adapter() + "=0.5"}), beside);
  EXPECT_EQ(loss({model(), "--adapter", adapter() + "=0"}), loss({model()}));
  expect_success(run_nibble({"generate", model(), "--adapter", adapter(), "--prompt", "a"}));
  const CommandResult shown = run_nibble(merging({"--force", "--text", "data/names.txt"}));
  expect_success(shown);
  EXPECT_NE(shown.out.find("6 parameters changed by 1 adapter"), std::string::npos) << shown.out;
  EXPECT_NE(shown.out.find("base + adapters"), std::string::npos) << shown.out;
}

TEST_F(WithAdapter, IsRefusedInOneLineAndNothingIsWritten) {
  const auto refused = [&](const std::vector<std::string>& words, int code,
                           const std::string& why) {
    const auto before = contents(outputs());
    expect_rejected(run_nibble(words), code, why);
    EXPECT_EQ(contents(outputs()), before);
  };
  refused({"merge", model(), "-o", out()}, 64, "--adapter is required");
  refused({"eval", model(), "--adapter", adapter() + "=nan", "--text", "data/names.txt"}, 64,
          "--adapter");
  refused({"eval", model(), "--adapter", adapter() + "-no", "--text", "data/names.txt"}, 66,
          "no such file");
  refused(merging({"--to", "int9"}), 64, "int9");
  refused(merging({"--heldout"}), 64, "--text");
  refused({"merge", model(), "--adapter", adapter(), "-o", model(), "--force"}, 64, "");
  refused({"merge", model(), "--adapter", adapter(), "-o", adapter(), "--force"}, 64, "");
  refused({"eval", adapter(), "--text", "data/names.txt"}, 65, "give it as --adapter");
  put_file(adapter() + "/adapter_config.json", R"({"peft_type": "LORA", "use_dora": true})");
  refused(merging(), 65, "key \"use_dora\"");
  adapter_for(model(), adapter(), 1);
  expect_success(run_nibble(merging()));
  refused(merging(), 73, "exists already");
  std::string bytes = get_file(adapter() + "/adapter_model.safetensors");
  put_file(adapter() + "/adapter_model.safetensors", bytes.substr(0, bytes.size() - 4));
  refused(merging({"--force"}), 65, "adapter_model.safetensors");
}

}  // namespace
}  // namespace nibble::test
