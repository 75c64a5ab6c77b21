// Configs of the families with Mamba2 layers: what is no size, no bound and no kind is refused by
// its key, and what is written reads as the same.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/support/tiny_decoders.h"

namespace nibble {
namespace {

using MambaJson = nlohmann::json;

DecoderConfig read_mamba_family(const MambaJson& json) {
  const auto type = json.at("model_type").get<std::string>();
  DecoderConfig c = architecture(type).read_config(JsonFields::parse(json.dump()));
  validate(c);
  return c;
}

void expect_refused(const MambaJson& json, const std::string& key) {
  try {
    read_mamba_family(json);
    ADD_FAILURE() << key << " " << json.dump();
  } catch (const Error& e) {
    EXPECT_NE(e.where().find("key \"" + key), std::string::npos) << e.what();
  }
}

TEST(MambaConfigs, SizesAreRefusedByTheirKeys) {
  const struct {
    const char* type;
    std::vector<std::string> keys;
  } rows[] = {{"granitemoehybrid",
               {"mamba_n_heads", "mamba_n_groups", "mamba_d_state", "mamba_d_conv", "mamba_expand",
                "mamba_d_head"}},
              {"falcon_h1",
               {"mamba_n_heads", "mamba_n_groups", "mamba_d_state", "mamba_d_conv", "mamba_d_ssm",
                "mamba_d_head"}},
              {"nemotron_h",
               {"mamba_num_heads", "n_groups", "ssm_state_size", "conv_kernel", "mamba_head_dim"}}};
  for (const auto& row : rows) {
    const auto whole = MambaJson::parse(tiny_decoder_json(row.type));
    for (const std::string& key : row.keys) {
      for (const MambaJson& bad : {MambaJson(0), MambaJson(-3), MambaJson(int64_t{1} << 40),
                                   MambaJson("wide"), MambaJson(1.5)}) {
        auto json = whole;
        json[key] = bad;
        expect_refused(json, key);
      }
    }
  }
}

TEST(MambaConfigs, GroupsMustDivideHeads) {
  auto json = MambaJson::parse(tiny_decoder_json("nemotron_h"));
  json["n_groups"] = 3;
  expect_refused(json, "n_groups");
}

TEST(MambaConfigs, MultipliersAreAllPositiveAndOfTheRightNumber) {
  const auto whole = MambaJson::parse(tiny_decoder_json("falcon_h1"));
  for (const char* key : {"mlp_multipliers", "ssm_multipliers"}) {
    for (const MambaJson& bad :
         {MambaJson::array({1.0}), MambaJson::array({1.0, 0.0}), MambaJson("one")}) {
      auto json = whole;
      json[key] = bad;
      expect_refused(json, key);
    }
  }
  for (const auto& [bias, key] : {std::pair("attention_bias", "attention_in_multiplier"),
                                  std::pair("mamba_proj_bias", "ssm_in_multiplier")}) {
    auto json = whole;
    json[bias] = true;
    expect_refused(json, key);
    json[key] = 1.0;
    EXPECT_NO_THROW(read_mamba_family(json)) << bias;
  }
}

TEST(MambaConfigs, TimeStepsHaveTwoBounds) {
  auto json = MambaJson::parse(tiny_decoder_json("granitemoehybrid"));
  for (const MambaJson& bad : {MambaJson::array({-1.0, 2.0}), MambaJson::array({2.0, 1.0}),
                               MambaJson::array({0.0}), MambaJson::array({0.0, 1.0, 2.0})}) {
    json["time_step_limit"] = bad;
    expect_refused(json, "time_step_limit");
  }
  json["time_step_limit"] = {0.5, {{"__float__", "Infinity"}}};
  EXPECT_EQ(read_mamba_family(json).mamba.step_least, 0.5);
  EXPECT_EQ(read_mamba_family(json).mamba.step_most, 0) << "none";
}

// A letter for each layer, as the first files had it.
TEST(MambaConfigs, PatternsOfLettersAreKindsOfLayers) {
  auto json = MambaJson::parse(tiny_decoder_json("nemotron_h"));
  const DecoderConfig named = read_mamba_family(json);
  json.erase("layers_block_type");
  json["hybrid_override_pattern"] = "M-*E";
  EXPECT_EQ(read_mamba_family(json), named);
  json["num_hidden_layers"] = 5;
  expect_refused(json, "num_hidden_layers");
  json["hybrid_override_pattern"] = "M-*?M";
  expect_refused(json, "layers_block_type");
}

}  // namespace
}  // namespace nibble
