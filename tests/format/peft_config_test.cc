// adapter_config.json: what it says of modules, and what in it is refused by name.
#include "nibble/format/peft_config.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "nibble/format/peft_modules.h"
#include "tests/support/expect_error.h"

namespace nibble {
namespace {

using test::expect_error;

PeftConfig peft_config(const std::string& keys) {
  return read_peft_config(JsonFields::parse(R"({"peft_type": "LORA")" + keys + "}"));
}

void expect_peft_key(const ErrorKind kind, const std::string& key, const std::string& value) {
  expect_error(kind, "key \"" + key + "\"", [&] { peft_config(", \"" + key + "\": " + value); });
}

TEST(PeftConfig, HasTheValuesOfPeftWhereItSaysNothing) {
  const PeftConfig c = peft_config("");
  EXPECT_EQ(c.rank, 8);
  EXPECT_EQ(c.alpha, 8);
  EXPECT_FALSE(c.rank_stabilized);
  EXPECT_EQ(c.bias, "none");
  EXPECT_TRUE(c.targets.empty());
}

TEST(PeftConfig, IsWrittenAsItIsRead) {
  PeftConfig c;
  c.rank = 4;
  c.alpha = 12.5;
  c.rank_stabilized = c.fan_in_fan_out = true;
  c.targets.list = {"q_proj", "v_proj"};
  c.saved = {"lm_head"};
  c.layers = {0, 2};
  c.layer_lists = {"layers"};
  c.ranks = {{"layers.0.self_attn.q_proj", 2}, {"v_proj", 16}};
  c.alphas = {{"v_proj", 3}};
  c.bias = "lora_only";
  c.base = "somebody/model";
  EXPECT_EQ(read_peft_config(JsonFields::parse(peft_config_text(c))), c);
  c.targets = {{}, ".*proj"};
  EXPECT_EQ(read_peft_config(JsonFields::parse(peft_config_text(c))), c);
}

TEST(PeftConfig, RefusesByNameWhatChangesTheResult) {
  for (const auto& [key, value] : {std::pair{"use_dora", "true"},
                                   {"lora_bias", "true"},
                                   {"use_qalora", "true"},
                                   {"target_parameters", R"(["experts.gate_up"])"},
                                   {"trainable_token_indices", "[3]"},
                                   {"layer_replication", "[[0, 2]]"},
                                   {"alora_invocation_tokens", "[1]"},
                                   {"a_key_of_tomorrow", "1"},
                                   {"init_lora_weights", "\"pissa\""},
                                   {"init_lora_weights", "\"loftq\""},
                                   {"bias", "\"some\""}}) {
    expect_peft_key(ErrorKind::unsupported, key, value);
  }
  expect_error(ErrorKind::unsupported, "\"IA3\" is not a kind of adapter",
               [] { read_peft_config(JsonFields::parse(R"({"peft_type": "IA3"})")); });
}

TEST(PeftConfig, PassesOverWhatChangesNothing) {
  for (const std::string keys :
       {R"(, "use_dora": false, "lora_bias": false, "layer_replication": null)",
        R"(, "target_parameters": null, "trainable_token_indices": null, "loftq_config": {})",
        R"(, "init_lora_weights": "gaussian", "lora_dropout": 0.1, "a_key_of_tomorrow": false)",
        R"(, "runtime_config": {"ephemeral_gpu_offload": true}, "eva_config": {"rho": 2.0})"}) {
    EXPECT_EQ(peft_config(keys), PeftConfig()) << keys;
  }
}

TEST(PeftConfig, RefusesValuesThatCannotBe) {
  for (const std::string value : {"0", "-1", "65537", "\"8\"", "1.5"})
    expect_peft_key(ErrorKind::corrupt, "r", value);
  for (const std::string value : {"NaN", "Infinity", "\"1\""})
    expect_peft_key(ErrorKind::corrupt, "lora_alpha", value);
  expect_peft_key(ErrorKind::corrupt, "target_modules", "3");
  expect_peft_key(ErrorKind::corrupt, "modules_to_save", "\"lm_head\"");
  expect_error(ErrorKind::corrupt, "key \"rank_pattern.q\"",
               [] { peft_config(R"(, "rank_pattern": {"q": 0})"); });
}

TEST(PeftModules, NamesEndPathsAtDots) {
  PeftModules m(peft_config(R"(, "target_modules": ["q_proj", "mlp.c_fc"])"));
  EXPECT_TRUE(m.is_target("model.layers.0.self_attn.q_proj"));
  EXPECT_TRUE(m.is_target("q_proj"));
  EXPECT_TRUE(m.is_target("h.0.mlp.c_fc"));
  EXPECT_FALSE(m.is_target("model.layers.0.self_attn.eq_proj"));
  EXPECT_FALSE(m.is_target("h.0.attn.c_fc"));
}

TEST(PeftModules, APatternIsTheWholePath) {
  PeftModules m(peft_config(R"(, "target_modules": ".*layers\\.[01]\\..*(q|v)_proj")"));
  EXPECT_TRUE(m.is_target("model.layers.1.self_attn.v_proj"));
  EXPECT_FALSE(m.is_target("model.layers.2.self_attn.v_proj"));
  EXPECT_FALSE(m.is_target("model.layers.1.self_attn.v_proj.more"));
  EXPECT_FALSE(PeftModules(peft_config(R"(, "target_modules": "q|q_pro")")).is_target("q_proj"));
}

TEST(PeftModules, LayersAndExcludedModulesAreLeftOut) {
  PeftModules m(peft_config(R"(, "target_modules": ["w1"], "layers_to_transform": [1, 12])"));
  EXPECT_TRUE(m.is_target("model.layers.1.experts.0.w1"));  // the first number counts
  EXPECT_TRUE(m.is_target("model.layers.12.w1"));
  EXPECT_FALSE(m.is_target("model.layers.0.experts.1.w1"));
  EXPECT_FALSE(m.is_target("w1.w1"));
  PeftModules named(peft_config(
      R"(, "target_modules": ["w1"], "layers_to_transform": 3, "layers_pattern": "blocks")"));
  EXPECT_TRUE(named.is_target("a.0.blocks.3.w1"));
  EXPECT_FALSE(named.is_target("a.3.blocks.0.w1"));
  PeftModules but(peft_config(R"(, "target_modules": "all-linear", "exclude_modules": ["up"],
                              "modules_to_save": ["lm_head"])"));
  EXPECT_TRUE(but.is_target("model.down"));
  EXPECT_FALSE(but.is_target("model.up"));
  EXPECT_FALSE(but.is_target("lm_head"));
  EXPECT_TRUE(but.is_saved("lm_head"));
}

TEST(PeftModules, ScalesFollowTheFirstPatternThatFits) {
  PeftModules m(peft_config(R"(, "r": 4, "lora_alpha": 6, "target_modules": ["q"],
      "rank_pattern": {"layers.0.q": 2, "q": 16, "v$|w": 3}, "alpha_pattern": {".*1\\.q": 8})"));
  EXPECT_EQ(m.rank("model.layers.0.q"), 2);
  EXPECT_EQ(m.rank("model.layers.1.q"), 16);
  EXPECT_EQ(m.rank("model.layers.1.w"), 3);
  EXPECT_EQ(m.rank("model.layers.1.eq"), 4);
  EXPECT_DOUBLE_EQ(m.scale("model.layers.0.q"), 6.0 / 2);
  EXPECT_DOUBLE_EQ(m.scale("model.layers.1.q"), 8.0 / 16);
  PeftModules stable(peft_config(R"(, "r": 4, "lora_alpha": 6, "use_rslora": true)"));
  EXPECT_DOUBLE_EQ(stable.scale("q"), 6.0 / 2);
}

TEST(PeftModules, BadPatternsNameTheirKey) {
  expect_error(ErrorKind::corrupt, "key \"target_modules\"",
               [] { PeftModules m(peft_config(R"-(, "target_modules": "(q")-")); });
  // Each by itself: what opens in one and closes in the other is none.
  expect_error(ErrorKind::corrupt, "key \"rank_pattern.a)|(b\"",
               [] { PeftModules m(peft_config(R"(, "rank_pattern": {"a)|(b": 2})")); });
  // Time is bounded.
  PeftModules slow(peft_config(R"-(, "target_modules": "(a+)+(b|c)")-"));
  expect_error(ErrorKind::unsupported, "key \"target_modules\"",
               [&] { slow.is_target(std::string(4000, 'a')); });
}

}  // namespace
}  // namespace nibble
