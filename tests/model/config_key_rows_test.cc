// Every key that changes what some architecture computes, as a file says that it is there and that
// it is not; and the sizes that no decoder can have.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "nibble/model/architecture.h"
#include "nibble/model/config_keys.h"
#include "tests/support/expect_error.h"
#include "tests/support/tiny_decoders.h"

namespace nibble {
namespace {

using test::expect_error;

std::vector<std::string> words_of(std::string_view key, std::string_view value) {
  const std::string text = "{\"" + std::string(key) + "\": " + std::string(value) + "}";
  return check_other_keys(JsonFields::parse(text), "llama", {});
}

TEST(ConfigKeyRows, WhatIsOffIsSilentAndWhatIsOnIsRefused) {
  for (const char* key : {"rotary_dim",
                          "rope_interleaved",
                          "rope_interleave",
                          "rope_local_base_freq",
                          "no_rope_layers",
                          "use_mrope",
                          "alibi",
                          "position_embedding_type",
                          "use_sliding_window",
                          "attention_chunk_size",
                          "attention_bias",
                          "qkv_bias",
                          "mlp_bias",
                          "use_bias",
                          "use_qk_norm",
                          "qk_layernorm",
                          "clip_qkv",
                          "attn_logit_softcapping",
                          "final_logit_softcapping",
                          "query_pre_attn_scalar",
                          "attention_multiplier",
                          "scale_depth",
                          "use_parallel_residual",
                          "parallel_attn",
                          "num_local_experts",
                          "num_experts",
                          "n_routed_experts",
                          "num_experts_per_tok",
                          "kv_lora_rank",
                          "pruned_heads",
                          "add_cross_attention",
                          "is_encoder_decoder",
                          "compression_config"}) {
    for (const char* off : {"null", "false", "0", "{}", "[]"})
      EXPECT_EQ(words_of(key, off), std::vector<std::string>{}) << key << " " << off;
    for (const char* on : {"true", "2", "0.5", "\"on\"", "[1]", "{\"a\": 1}"})
      expect_error(ErrorKind::unsupported,
                   "key \"" + std::string(key) + "\": ", [&] { words_of(key, on); });
  }
}

TEST(ConfigKeyRows, FactorsThatAreOneAreSilent) {
  for (const char* key : {"partial_rotary_factor", "rotary_pct", "embedding_multiplier",
                          "residual_multiplier", "logits_scaling", "logit_scale", "scale_emb"}) {
    for (const char* one : {"1", "1.0", "null"})
      EXPECT_EQ(words_of(key, one), std::vector<std::string>{}) << key << " " << one;
    for (const char* other : {"0.5", "2", "0", "1.0000001"})
      expect_error(ErrorKind::unsupported,
                   "key \"" + std::string(key) + "\": ", [&] { words_of(key, other); });
  }
}

TEST(ConfigKeyRows, ARefusalSaysTheValueAndTheWayOut) {
  expect_error(ErrorKind::unsupported,
               "key \"clip_qkv\": 8.0 is not what llama is run with here (remove the key if the "
               "model was trained without it)",
               [] { words_of("clip_qkv", "8.0"); });
}

// A valid config with one value changed.
template <class T>
void refused(std::string_view words, T DecoderConfig::*member, const T& value,
             const std::string& type = "llama") {
  DecoderConfig c = tiny_decoder_config(type);
  c.*member = value;
  expect_error(ErrorKind::corrupt, words, [&] { validate(c); });
}
template <class T>
void allowed(T DecoderConfig::*member, const T& value, const std::string& type = "llama") {
  DecoderConfig c = tiny_decoder_config(type);
  c.*member = value;
  EXPECT_NO_THROW(validate(c));
}

TEST(ConfigLimits, SizesAreRefusedBeyondAnyModel) {
  using C = DecoderConfig;
  const auto range = [](int64_t C::*member, const std::string& key, int64_t high) {
    allowed(member, int64_t{high});
    refused("key \"" + key + "\": must be between 1 and " + std::to_string(high), member, high + 1);
    refused("key \"" + key + "\": must be between 1 and ", member, int64_t{0});
  };
  range(&C::vocab_size, "vocab_size", 1 << 24);
  range(&C::hidden_size, "hidden_size", 1 << 20);
  range(&C::layers, "num_hidden_layers", 10'000);
  range(&C::intermediate_size, "intermediate_size", 1 << 24);
  range(&C::context, "max_position_embeddings", int64_t{1} << 31);
  range(&C::head_dim, "head_dim", 1 << 16);
  refused("key \"num_key_value_heads\": must be between 1 and 4", &C::kv_heads, int64_t{5});
  refused("key \"num_key_value_heads\": 3 key/value heads do not divide 4 heads", &C::kv_heads,
          int64_t{3});
  refused("key \"num_experts_per_tok\": must be between 1 and 4 (got 5)", &C::experts_per_token,
          int64_t{5}, "mixtral");
  refused("key \"num_experts_per_tok\": must be between 0 and 0", &C::experts_per_token,
          int64_t{1});
}

TEST(ConfigLimits, KindsOfLayersNeedWhatTheyReadBy) {
  using C = DecoderConfig;
  const std::vector<LayerKind> one = {LayerKind::full};
  refused("key \"layer_types\": names 1 layers; there are 2", &C::layer_kinds, one);
  const std::vector<LayerKind> windows(2, LayerKind::window);
  refused("key \"sliding_window\": must be between 1", &C::layer_kinds, windows);
  const std::vector<LayerKind> convolutions(2, LayerKind::convolution);
  refused("key \"conv_L_cache\": must be between 1 and 1024", &C::layer_kinds, convolutions);
  refused("key \"conv_L_cache\"", &C::conv_taps, int64_t{1025}, "lfm2");
}

TEST(ConfigLimits, RotaryPositionsNeedPairsAndWavesThatTurn) {
  using C = DecoderConfig;
  const double infinity = std::numeric_limits<double>::infinity();
  refused("key \"head_dim\": 5 is odd", &C::head_dim, int64_t{5});
  allowed(&C::head_dim, int64_t{5}, "gpt2");
  refused("key \"norm_eps\": must be a positive number", &C::norm_eps, std::nan(""));
  refused("key \"rope_theta\": must be a positive number", &C::rope, RopeConfig{.theta = infinity});
  const RopeConfig linear{.scaling = RopeScaling::linear, .factor = 0};
  refused("key \"factor\": must be a positive number", &C::rope, linear);
  RopeConfig c{.scaling = RopeScaling::llama3, .factor = 8};
  refused("key \"original_max_position_embeddings\"", &C::rope, c);
  c.original_context = 32;
  allowed(&C::rope, c);
  c.low_freq_factor = 4;
  refused("key \"high_freq_factor\": must be above low_freq_factor 4 (got 4)", &C::rope, c);
  c.scaling = RopeScaling::yarn;
  allowed(&C::rope, c);
  c.theta = 1;
  refused("key \"rope_theta\": must be above 1 for yarn", &C::rope, c);
  c.theta = 1e4, c.beta_slow = -1;
  refused("key \"beta_slow\": must be a positive number", &C::rope, c);
}

}  // namespace
}  // namespace nibble
