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

class RotateTest : public testing::TestWithParam<std::string> {};

TEST_P(RotateTest, LeavesLogitsUnchanged) { expect_same_function(tiny_decoder_config(GetParam())); }

INSTANTIATE_TEST_SUITE_P(Architectures, RotateTest,
                         testing::Values("llama", "mistral", "qwen2", "qwen3", "micro_gpt",
                                         "deepseek_v2", "deepseek_v3", "glm4_moe_lite"),
                         [](const auto& each) { return each.param; });

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
