// Cases of ../shared/cases about compressed-tensors folders as other tools write them.
#include <nlohmann/json.hpp>

#include "tests/cli/cli_test.h"
#include "tests/support/shared.h"

namespace nibble::test {
namespace {

using nlohmann::json;

const std::string kCases = "../shared/cases/";

class CompressedTensorsCase : public ::testing::Test {
 protected:
  void SetUp() override {
    if (lacks_shared(kCases)) GTEST_SKIP() << kCases;
  }
  static CommandResult eval(const std::string& name, const std::string& text) {
    return run_nibble({"eval", kCases + name, "--text", kCases + text, "--json"}, {.limit_s = 60});
  }
  // The loss that the case's README gives, from a float64 forward pass over the unpacked weights.
  static void expect_loss(const std::string& name, double nll) {
    const CommandResult r = eval(name + "/model", name + "/text.txt");
    expect_success(r);
    EXPECT_NEAR(json::parse(r.out).at("mean_nll").get<double>(), nll, 1e-6);
  }
  static void expect_refused(const std::string& name, const std::string& text,
                             const std::string& words) {
    const CommandResult r = eval(name, text);
    EXPECT_EQ(r.exit_code, 65) << r.err;
    EXPECT_NE(json::parse(r.err).at("error").dump().find(words), std::string::npos) << r.err;
  }
};

TEST_F(CompressedTensorsCase, LinearIsNotTheEmbedding) {
  expect_loss("ct-linear-target", 9.013074);
}

// Read by position it would be another model, without a word (13.67).
TEST_F(CompressedTensorsCase, ColumnsHaveTheScaleOfTheirGroup) {
  expect_loss("ct-actorder-g-idx", 9.027241);
}

TEST_F(CompressedTensorsCase, TransformsAreRefusedByName) {
  expect_refused("ct-transform/model", "ct-transform/text.txt",
                 "quantization_config.transform_config");
}

TEST_F(CompressedTensorsCase, SettingsAreNotPassedOver) {
  const std::pair<const char*, const char*> cases[] = {
      {"transform_config", "quantization_config.transform_config"},
      {"sparsity_config", "quantization_config.sparsity_config"},
      {"output_activations", "config_groups.group_0.output_activations"},
      {"format_marlin", "marlin-24"},
      {"dynamic_weights", "config_groups.group_0.weights.dynamic"}};
  const std::string folder = "hostile/settings_ignored/";
  for (const auto& [name, words] : cases) expect_refused(folder + name, folder + "t.txt", words);
  expect_success(eval(folder + "base", folder + "t.txt"));
}

TEST_F(CompressedTensorsCase, AScaleThatIsMissingIsBadData) {
  expect_refused("hostile/tensor_missing_is_66/m", "ct-transform/text.txt",
                 "layers.0.self_attn.q_proj.weight_scale");
}

TEST_F(CompressedTensorsCase, ABiasIsNoTarget) {
  expect_refused("hostile/mlp_bias_as_target/m", "ct-transform/text.txt", "fc1.bias");
}

}  // namespace
}  // namespace nibble::test
