// What is derived from a layer's plan by following its steps.
#include "nibble/model/layer_plan.h"

#include <gtest/gtest.h>

#include "nibble/model/expert_rows.h"
#include "nibble/model/site_input.h"
#include "tests/support/layer_walks.h"
#include "tests/support/tiny_decoders.h"

namespace nibble {
namespace {

class EveryArchitecture : public testing::TestWithParam<std::string_view> {
 protected:
  const DecoderConfig config_ = tiny_decoder_config(std::string(GetParam()));
};

TEST_P(EveryArchitecture, WalksAgree) {
  const Model model = tiny_decoder(config_, 5);
  expect_walks_agree(config_, [&](const ParamSpec& p) { return load_weight(model, p); });
}

// In front of a layer nothing but the stream is needed, and behind its last site neither.
TEST_P(EveryArchitecture, BuffersAreMadeBeforeTheyAreRead) {
  for (int layer = 0; layer < config_.layers; ++layer) {
    const LayerPlan plan = layer_plan(config_, layer);
    EXPECT_TRUE(live_before(plan, 0).empty());
    EXPECT_EQ(site_steps(plan).back().end, plan.steps.size());
    for (size_t s = 0; s < plan.sites.size(); ++s) {
      const auto live = live_before(plan, step_of(plan, s));
      ASSERT_FALSE(live.empty());
      EXPECT_EQ(live.front(), plan.sites[s].in);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(LayerPlan, EveryArchitecture, testing::ValuesIn(architecture_names()),
                         [](const auto& each) { return std::string(each.param); });

TEST(LayerPlan, OutputsBehindANormDoNotCorrectTheStream) {
  const auto adds = [](const char* type) {
    std::vector<bool> out;
    for (const SiteSteps& s : site_steps(layer_plan(tiny_decoder_config(type), 0)))
      out.push_back(s.adds);
    return out;
  };
  EXPECT_EQ(adds("llama"), (std::vector{false, true, false, true}));
  EXPECT_EQ(adds("gemma2"), (std::vector{false, false, false, false}));
  EXPECT_EQ(adds("mixtral"), (std::vector{false, true, false, false}));
}

TEST(ExpertRows, AreSortedByExpertAndKnowWhereTheyCameFrom) {
  const ExpertPlan plan{3, 2, {}};
  std::vector<float> routing = {0, 2, 1, 0, 0, 0, 0, 5, 0, 4, 0, 0, 0, 0};  // two rows of 7
  for (int64_t r = 0; r < 2; ++r) choose_experts(plan, {}, routing.data() + r * plan.width());
  EXPECT_EQ(routing[3], 1);  // the likeliest first
  EXPECT_EQ(routing[4], 2);
  EXPECT_FLOAT_EQ(routing[5], 1 / (1 + std::exp(-1.0F)));
  EXPECT_FLOAT_EQ(routing[5] + routing[6], 1);
  std::vector<int32_t> memory(static_cast<size_t>(ExpertRows::count(2, 3, 2)));
  ExpertRows rows(memory.data(), 2, 3, 2);
  rows.find(plan, routing.data(), 2);
  EXPECT_EQ((std::vector(rows.starts, rows.starts + 4)), (std::vector{0, 1, 2, 4}));
  EXPECT_EQ((std::vector(rows.sources, rows.sources + 4)), (std::vector{1, 0, 0, 1}));
  EXPECT_EQ((std::vector(rows.places, rows.places + 4)), (std::vector{1, 2, 0, 3}));
}

}  // namespace
}  // namespace nibble
