// A rotated model is the same function; LayerNorm is refused.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "nibble/model/rotate_model.h"
#include "tests/support/expect_error.h"
#include "tests/support/tiny_decoders.h"

namespace nibble {
namespace {

const std::vector<int32_t> kRotatedIds = {3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5};

void expect_same_function(const DecoderConfig& config) {
  const Model model = tiny_decoder(config, 21);
  const Model turned = rotated_model(model, 7);
  const auto before = logits_of_tokens(model, kRotatedIds),
             after = logits_of_tokens(turned, kRotatedIds);
  float largest = 1;
  for (const float v : before) largest = std::max(largest, std::fabs(v));
  for (size_t i = 0; i < before.size(); ++i)
    ASSERT_NEAR(before[i], after[i], 1e-4F * largest) << "logit " << i;
  const std::string embedding = parameter_table(config)[0].name;
  EXPECT_NE(model.weights->get(embedding).plain().data<float>()[0],
            turned.weights->get(embedding).plain().data<float>()[0]);
}

// The architectures that cannot be turned, each with the word that says why.
std::string why_not(const std::string& type) {
  try {
    rotated_model(tiny_decoder(tiny_decoder_config(type), 3), 1);
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::unsupported) << type << ": " << e.what();
    return e.what();
  }
  return "";
}

class RotateTest : public testing::TestWithParam<std::string> {};

TEST_P(RotateTest, LeavesLogitsUnchanged) { expect_same_function(tiny_decoder_config(GetParam())); }

std::vector<std::string> that_turn() {
  std::vector<std::string> out;
  for (const std::string_view type : architecture_names()) {
    if (std::string name(type); why_not(name).empty()) out.push_back(std::move(name));
  }
  return out;
}

INSTANTIATE_TEST_SUITE_P(Architectures, RotateTest, testing::ValuesIn(that_turn()),
                         [](const auto& each) { return each.param; });

TEST(Rotate, WhoDoesNotTurnSaysWhy) {
  for (const std::string_view type : architecture_names()) {
    const std::string reason = why_not(std::string(type));
    EXPECT_TRUE(reason.empty() || reason.find("RMSNorm") != std::string::npos ||
                reason.find("in front of the residual stream has a gain") != std::string::npos)
        << type << ": " << reason;
  }
  for (const char* type : {"llama", "mistral", "qwen3", "micro_gpt", "mixtral", "qwen3_5_text",
                           "gpt_oss", "deepseek_v2", "deepseek_v3", "glm4_moe_lite", "lfm2"})
    EXPECT_EQ(why_not(type), "");
}

TEST(Rotate, ATiedHeadIsUntied) {
  DecoderConfig config = tiny_decoder_config("llama");
  config.tied = true;
  expect_same_function(config);
  const Model model = tiny_decoder(config, 3);
  EXPECT_FALSE(rotated_model(model, 1).decoder_config().tied);
}

TEST(Rotate, LayerNormIsRefused) {
  for (const char* type : {"gpt2", "opt"}) {
    const Model model = tiny_decoder(tiny_decoder_config(type), 3);
    test::expect_error(ErrorKind::unsupported, "RMSNorm", [&] { rotated_model(model, 1); });
  }
}

}  // namespace
}  // namespace nibble
