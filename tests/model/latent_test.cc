// Multi-head latent attention: what config.json says of it, and what its plan makes of that.
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "nibble/model/architecture.h"
#include "nibble/model/layer_plan.h"
#include "tests/support/expect_error.h"
#include "tests/support/tiny_decoders.h"

namespace nibble {
namespace {

using nlohmann::json;

DecoderConfig read_latent(const std::string& type, const json& changes) {
  json all = json::parse(tiny_decoder_json(type));
  all.update(changes);
  DecoderConfig c = architecture(type).read_config(JsonFields::parse(all.dump()));
  validate(c);
  return c;
}

// GLM-4.7-Flash has 20 heads in a stream of 2048.
TEST(Latent, HeadsNeedNotDivideTheStream) {
  const DecoderConfig c =
      read_latent("glm4_moe_lite", {{"num_attention_heads", 3}, {"num_key_value_heads", 3}});
  EXPECT_EQ(c.head_dim, 7);
  const LayerPlan plan = layer_plan(c, 0);
  EXPECT_EQ(plan.buffer(BufferId::mixed).width, 3 * 7);
  EXPECT_EQ(plan.attention->rule.shape, (AttentionShape{3, 3, 7, 7}));
}

// transformers: (nope + rope)^-0.5 times the square of yarn's temperature of all dimensions.
TEST(Latent, YarnScalesTheScoresOfWholeHeads) {
  const double t = 0.1 * 0.9 * std::log(4.0) + 1;
  EXPECT_FLOAT_EQ(attention_scale(read_latent("deepseek_v3", json::object())),
                  static_cast<float>(t * t / std::sqrt(7.0)));
  EXPECT_FLOAT_EQ(attention_scale(read_latent("deepseek_v2", json::object())), 1 / std::sqrt(7.0F));
  json rope{{"rope_type", "yarn"}, {"factor", 4.0}, {"mscale", 0.7}};
  EXPECT_EQ(read_latent("deepseek_v3", {{"rope_parameters", rope}}).attention_scale, 0);
  rope["mscale_all_dim"] = 0.7, rope["factor"] = 0.5;
  EXPECT_FLOAT_EQ(attention_scale(read_latent("deepseek_v3", {{"rope_parameters", rope}})),
                  1 / std::sqrt(7.0F));
}

// Whatever rms_norm_eps says, as transformers has it.
TEST(Latent, NormsOfTheSmallNumbersHaveAnEpsOfTheirOwn) {
  const LayerPlan plan = layer_plan(read_latent("glm4_moe_lite", {{"rms_norm_eps", 0.5}}), 0);
  for (const NormPlan& n : plan.norms) {
    const bool inside = n.role == Role::q_down_norm || n.role == Role::kv_down_norm;
    EXPECT_EQ(n.eps, inside ? 1e-6 : 0.5);
  }
}

TEST(Latent, QueriesAreOneMatrixWhereTheirRankIsNull) {
  const auto members = [](const DecoderConfig& c) {
    std::vector<Role> out;
    for (const Site& s : layer_plan(c, 0).sites) {
      for (const SiteMember& m : s.members) out.push_back(m.role);
    }
    out.resize(5);
    return out;
  };
  EXPECT_EQ(members(read_latent("deepseek_v3", {{"q_lora_rank", nullptr}})),
            (std::vector{Role::q, Role::kv_down, Role::kv_up, Role::o, Role::gate}));
  EXPECT_EQ(members(read_latent("deepseek_v3", json::object())),
            (std::vector{Role::q_down, Role::kv_down, Role::q_up, Role::kv_up, Role::o}));
}

// Of the projections from and to the stream alone.
TEST(Latent, BiasesAreThoseOfTransformers) {
  std::vector<Role> biased;
  for (const ParamSpec& p :
       parameter_table(read_latent("deepseek_v3", {{"attention_bias", true}}))) {
    if (p.layer == 0 && p.bias) biased.push_back(p.role);
  }
  EXPECT_EQ(biased, (std::vector{Role::q_down, Role::kv_down, Role::o}));
}

TEST(Latent, GreedyChoiceKnowsNoGroups) {
  const json greedy{{"topk_method", "greedy"}, {"n_group", nullptr}, {"topk_group", nullptr}};
  EXPECT_EQ(read_latent("deepseek_v2", greedy).router.groups, 1);
  EXPECT_EQ(read_latent("deepseek_v2", json::object()).router.groups, 2);
  test::expect_error(test::bad_file(), "n_group", [] {
    read_latent("deepseek_v2", {{"n_group", nullptr}});
  });
}

TEST(Latent, SizesNoDecoderHasNameTheirKey) {
  for (const char* key : {"kv_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim"}) {
    for (const json& value : {json(0), json(-1), json(int64_t{1} << 30), json(nullptr)})
      test::expect_error(test::bad_file(), key, [&] {
        read_latent("deepseek_v3", {{key, value}});
      });
  }
  test::expect_error(test::bad_file(), "qk_rope_head_dim\": 3 is odd", [] {
    read_latent("deepseek_v3", {{"qk_rope_head_dim", 3}});
  });
  json without = json::parse(tiny_decoder_json("deepseek_v3"));
  without.erase("q_lora_rank");
  test::expect_error(test::bad_file(), "q_lora_rank", [&] {
    architecture("deepseek_v3").read_config(JsonFields::parse(without.dump()));
  });
}

}  // namespace
}  // namespace nibble
