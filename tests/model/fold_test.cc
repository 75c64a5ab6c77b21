// Folding scales into every site of every architecture leaves the function as it is.
#include "nibble/model/fold.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "tests/support/expect_error.h"
#include "tests/support/tiny_decoders.h"

namespace nibble {
namespace {

const std::vector<int32_t> kIds = {3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5};

std::vector<float> random_scales(const FoldSite& site, PyRandom& random) {
  std::vector<float> s(static_cast<size_t>(site.k));
  for (float& v : s) v = static_cast<float>(std::exp(random.gauss(0, 1)));
  tie_scales(site, s);
  return s;
}

class FoldTest : public testing::TestWithParam<std::string> {};

TEST_P(FoldTest, LeavesLogitsUnchanged) {
  const Model model = tiny_decoder(tiny_decoder_config(GetParam()), 11);
  const std::vector<float> before = logits_of_tokens(model, kIds);
  PyRandom random(5);
  WeightChanges all;
  int folded = 0;
  const auto sites = fold_sites(model.decoder_config());
  for (const FoldSite& site : sites) {
    if (site.producer == Producer::none) {
      EXPECT_FALSE(site.refusal.empty());
      continue;
    }
    add_fold({site, random_scales(site, random)}, all);
    ++folded;
  }
  EXPECT_GE(folded, model.decoder_config().layers);
  const Model changed = with_changes(model, std::move(all));
  const std::vector<float> after = logits_of_tokens(changed, kIds);
  float largest = 0;
  for (const float v : before) largest = std::max(largest, std::fabs(v));
  ASSERT_EQ(before.size(), after.size());
  for (size_t i = 0; i < before.size(); ++i)
    ASSERT_NEAR(before[i], after[i], 1e-4F * std::max(1.0F, largest)) << "logit " << i;
}

// The test above could pass with changes that are never applied.
TEST_P(FoldTest, ChangesEveryConsumer) {
  const Model model = tiny_decoder(tiny_decoder_config(GetParam()), 11);
  const auto sites = fold_sites(model.decoder_config());
  for (const FoldSite& site : sites) {
    if (site.producer == Producer::none) continue;
    WeightChanges one;
    add_fold({site, std::vector<float>(static_cast<size_t>(site.k), 2.0f)}, one);
    const Model changed = with_changes(model, std::move(one));
    for (const std::string& name : site.consumers) {
      EXPECT_EQ(changed.weights->get(name).plain().data<float>()[0],
                2 * model.weights->get(name).plain().data<float>()[0]);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Architectures, FoldTest,
                         testing::Values("gpt2", "llama", "mistral", "qwen2", "qwen3", "opt",
                                         "mixtral", "gemma2", "lfm2", "micro_gpt", "deepseek_v2",
                                         "deepseek_v3", "glm4_moe_lite", "gpt_neox"),
                         [](const auto& each) { return each.param; });

TEST(FoldSites, SharedHeadsHaveOneScale) {
  DecoderConfig config = tiny_decoder_config("llama");
  const FoldSite o = fold_sites(config)[1];
  EXPECT_EQ(o.key.role, Role::o);
  EXPECT_EQ(o.channels(), 8);
  EXPECT_EQ(o.channel_of(0), o.channel_of(4));  // two query heads of 4 read one value head
  EXPECT_EQ(o.channel_of(11), 7);
  std::vector<float> s(16, 1.0f);
  s[0] = 4;
  tie_scales(o, s);
  EXPECT_FLOAT_EQ(s[0], 2);
  EXPECT_FLOAT_EQ(s[4], 2);
  EXPECT_FLOAT_EQ(s[1], 1);
}

// Head by head behind what keys have of their own.
TEST(FoldSites, ValuesMayStandBetweenOtherRows) {
  const auto sites = fold_sites(tiny_decoder_config("deepseek_v3"));  // own 3, values 9
  const FoldSite& o = sites[3];
  EXPECT_EQ(o.key.role, Role::o);
  EXPECT_EQ(o.weight, "model.layers.0.self_attn.kv_b_proj.weight");
  EXPECT_EQ(o.channels(), 4 * 9);
  EXPECT_EQ(o.row_of(0), 3);
  EXPECT_EQ(o.row_of(8), 11);
  EXPECT_EQ(o.row_of(9), 15);
}

TEST(FoldSites, ScalesThatWouldChangeTheFunctionAreRefused) {
  const auto sites = fold_sites(tiny_decoder_config("llama"));
  WeightChanges changes;
  std::vector<float> s(16, 1.0f);
  s[0] = 4;
  test::expect_error(ErrorKind::invalid_argument, "equal where one channel is read twice", [&] {
    add_fold({sites[1], s}, changes);
  });
  s[0] = 0;
  test::expect_error(ErrorKind::invalid_argument, "positive", [&] {
    add_fold({sites[0], s}, changes);
  });
  const auto gpt2 = fold_sites(tiny_decoder_config("gpt2"));
  test::expect_error(ErrorKind::invalid_argument, "GELU", [&] { add_fold({gpt2[3], s}, changes); });
}

}  // namespace
}  // namespace nibble
