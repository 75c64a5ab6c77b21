// Keys of config.json that nibble does not read: what published models say opens without a word,
// what changes the function is refused by name, the rest is named.
#include "nibble/model/config_keys.h"

#include <gtest/gtest.h>

#include "nibble/model/architecture.h"
#include "tests/support/expect_error.h"

namespace nibble {
namespace {

using test::expect_error;

// The warnings of a config.json, read as open_model() reads it.
std::vector<std::string> warnings(const std::string& text) {
  const JsonFields fields = JsonFields::parse(text);
  const std::string type = fields.string("model_type");
  validate(architecture(type).read_config(fields));
  return check_other_keys(fields, type, architecture(type).harmless_keys);
}

// Llama 3.2 1B, 3.1 (longer), TinyLlama, SmolLM2 and Mistral Nemo by their published files.
constexpr const char* kLlama32 = R"({"architectures": ["LlamaForCausalLM"],
  "attention_bias": false, "attention_dropout": 0.0, "bos_token_id": 128000,
  "eos_token_id": [128001, 128008, 128009], "head_dim": 64, "hidden_act": "silu",
  "hidden_size": 2048, "initializer_range": 0.02, "intermediate_size": 8192,
  "max_position_embeddings": 131072, "mlp_bias": false, "model_type": "llama",
  "num_attention_heads": 32, "num_hidden_layers": 16, "num_key_value_heads": 8,
  "pretraining_tp": 1, "rms_norm_eps": 1e-05, "rope_scaling": {"factor": 32.0,
  "high_freq_factor": 4.0, "low_freq_factor": 1.0, "original_max_position_embeddings": 8192,
  "rope_type": "llama3"}, "rope_theta": 500000.0, "tie_word_embeddings": true,
  "torch_dtype": "bfloat16", "transformers_version": "4.45.0.dev0", "use_cache": true,
  "vocab_size": 128256})";
constexpr const char* kSmolLm2 = R"({"architectures": ["LlamaForCausalLM"],
  "attention_bias": false, "attention_dropout": 0.0, "bos_token_id": 1, "eos_token_id": 2,
  "hidden_act": "silu", "hidden_size": 576, "initializer_range": 0.041666666666666664,
  "intermediate_size": 1536, "is_llama_config": true, "max_position_embeddings": 8192,
  "mlp_bias": false, "model_type": "llama", "num_attention_heads": 9, "num_hidden_layers": 30,
  "num_key_value_heads": 3, "pad_token_id": 2, "pretraining_tp": 1, "rms_norm_eps": 1e-05,
  "rope_interleaved": false, "rope_scaling": null, "rope_theta": 100000,
  "tie_word_embeddings": true, "torch_dtype": "bfloat16", "transformers.js_config":
  {"kv_cache_dtype": {"q4f16": "float16", "fp16": "float16"}}, "transformers_version": "4.42.3",
  "use_cache": true, "vocab_size": 49152})";
constexpr const char* kVicuna = R"({"_name_or_path": "vicuna-7b-v1.5",
  "architectures": ["LlamaForCausalLM"], "bos_token_id": 1, "eos_token_id": 2,
  "hidden_act": "silu", "hidden_size": 4096, "initializer_range": 0.02,
  "intermediate_size": 11008, "max_position_embeddings": 4096, "model_type": "llama",
  "num_attention_heads": 32, "num_hidden_layers": 32, "num_key_value_heads": 32,
  "pad_token_id": 0, "pretraining_tp": 1, "rms_norm_eps": 1e-05, "rope_scaling": null,
  "tie_word_embeddings": false, "torch_dtype": "float16", "transformers_version": "4.31.0",
  "use_cache": true, "vocab_size": 32000, "max_sequence_length": 4096})";
constexpr const char* kMistral = R"({"architectures": ["MistralForCausalLM"],
  "attention_dropout": 0.0, "bos_token_id": 1, "eos_token_id": 2, "head_dim": 128,
  "hidden_act": "silu", "hidden_size": 5120, "initializer_range": 0.02,
  "intermediate_size": 14336, "max_position_embeddings": 131072, "model_type": "mistral",
  "num_attention_heads": 32, "num_hidden_layers": 40, "num_key_value_heads": 8,
  "rms_norm_eps": 1e-05, "rope_theta": 1000000.0, "sliding_window": null,
  "tie_word_embeddings": false, "torch_dtype": "bfloat16", "transformers_version": "4.43.0.dev0",
  "use_cache": true, "vocab_size": 131072})";
constexpr const char* kQwen25 = R"({"architectures": ["Qwen2ForCausalLM"],
  "attention_dropout": 0.0, "bos_token_id": 151643, "eos_token_id": 151645, "hidden_act": "silu",
  "hidden_size": 896, "initializer_range": 0.02, "intermediate_size": 4864,
  "max_position_embeddings": 32768, "max_window_layers": 21, "model_type": "qwen2",
  "num_attention_heads": 14, "num_hidden_layers": 24, "num_key_value_heads": 2,
  "rms_norm_eps": 1e-06, "rope_theta": 1000000.0, "sliding_window": 32768,
  "tie_word_embeddings": true, "torch_dtype": "bfloat16", "transformers_version": "4.43.1",
  "use_cache": true, "use_mrope": false, "use_sliding_window": false, "vocab_size": 151936})";
constexpr const char* kQwen3 = R"({"architectures": ["Qwen3ForCausalLM"], "attention_bias": false,
  "attention_dropout": 0.0, "bos_token_id": 151643, "eos_token_id": 151645, "head_dim": 128,
  "hidden_act": "silu", "hidden_size": 1024, "initializer_range": 0.02,
  "intermediate_size": 3072, "max_position_embeddings": 40960, "max_window_layers": 28,
  "model_type": "qwen3", "num_attention_heads": 16, "num_hidden_layers": 28,
  "num_key_value_heads": 8, "rms_norm_eps": 1e-06, "rope_scaling": null, "rope_theta": 1000000,
  "sliding_window": null, "tie_word_embeddings": true, "torch_dtype": "bfloat16",
  "transformers_version": "4.51.0", "use_cache": true, "use_sliding_window": false,
  "vocab_size": 151936})";
constexpr const char* kGpt2Config = R"({"activation_function": "gelu_new",
  "architectures": ["GPT2LMHeadModel"], "attn_pdrop": 0.1, "bos_token_id": 50256,
  "embd_pdrop": 0.1, "eos_token_id": 50256, "initializer_range": 0.02,
  "layer_norm_epsilon": 1e-05, "model_type": "gpt2", "n_ctx": 1024, "n_embd": 768, "n_head": 12,
  "n_layer": 12, "n_positions": 1024, "resid_pdrop": 0.1, "summary_activation": null,
  "summary_first_dropout": 0.1, "summary_proj_to_labels": true, "summary_type": "cls_index",
  "summary_use_proj": true, "task_specific_params": {"text-generation": {"do_sample": true,
  "max_length": 50}}, "vocab_size": 50257})";
constexpr const char* kDistilGpt2 = R"({"_num_labels": 1, "activation_function": "gelu_new",
  "architectures": ["GPT2LMHeadModel"], "attn_pdrop": 0.1, "bos_token_id": 50256,
  "embd_pdrop": 0.1, "eos_token_id": 50256, "id2label": {"0": "LABEL_0"},
  "initializer_range": 0.02, "label2id": {"LABEL_0": 0}, "layer_norm_epsilon": 1e-05,
  "model_type": "gpt2", "n_ctx": 1024, "n_embd": 768, "n_head": 12, "n_layer": 6,
  "n_positions": 1024, "resid_pdrop": 0.1, "summary_activation": null,
  "summary_first_dropout": 0.1, "summary_proj_to_labels": true, "summary_type": "cls_index",
  "summary_use_proj": true, "vocab_size": 50257})";
constexpr const char* kOptConfig =
    R"({"_name_or_path": "opt-125m", "_remove_final_layer_norm": false,
  "activation_dropout": 0.0, "activation_function": "relu", "architectures": ["OPTForCausalLM"],
  "attention_dropout": 0.0, "bos_token_id": 2, "do_layer_norm_before": true, "dropout": 0.1,
  "eos_token_id": 2, "ffn_dim": 3072, "hidden_size": 768, "init_std": 0.02, "layerdrop": 0.0,
  "max_position_embeddings": 2048, "model_type": "opt", "num_attention_heads": 12,
  "num_hidden_layers": 12, "pad_token_id": 1, "prefix": "</s>", "torch_dtype": "float16",
  "transformers_version": "4.21.0.dev0", "use_cache": true, "vocab_size": 50272,
  "word_embed_proj_dim": 768})";

TEST(ConfigKeys, PublishedModelsOpenWithoutAWord) {
  for (const char* text : {kLlama32, kSmolLm2, kVicuna, kMistral, kQwen25, kQwen3, kGpt2Config,
                           kDistilGpt2, kOptConfig})
    EXPECT_EQ(warnings(text), std::vector<std::string>{}) << text;
}

// A published config with one more key.
std::string with(const char* config, const std::string& key) {
  return "{" + key + ", " + std::string(config + 1);
}

TEST(ConfigKeys, WhatTransformersFiveWritesOpensWithoutAWord) {
  std::string text = with(kQwen3, R"("dtype": "bfloat16", "pad_token_id": null, "layer_types":
    ["full_attention", "full_attention"], "output_hidden_states": false, "pruned_heads": {},
    "chunk_size_feed_forward": 0, "is_encoder_decoder": false, "add_cross_attention": false)");
  EXPECT_EQ(warnings(text), std::vector<std::string>{});
}

TEST(ConfigKeys, WhatChangesTheFunctionIsRefusedByName) {
  const std::pair<const char*, const char*> keys[] = {{"partial_rotary_factor", "0.5"},
                                                      {"rope_interleaved", "true"},
                                                      {"clip_qkv", "8.0"},
                                                      {"attn_logit_softcapping", "50.0"},
                                                      {"embedding_multiplier", "12"},
                                                      {"logits_scaling", "8.0"},
                                                      {"num_local_experts", "8"},
                                                      {"no_rope_layers", "[1, 1, 0]"},
                                                      {"layer_types", R"(["sliding_attention"])"},
                                                      {"position_embedding_type", "\"alibi\""},
                                                      {"pruned_heads", R"({"0": [1]})"}};
  for (const auto& [key, value] : keys) {
    const std::string text = with(kVicuna, '"' + std::string(key) + "\": " + value);
    expect_error(ErrorKind::unsupported,
                 "key \"" + std::string(key) + "\": ", [&] { warnings(text); });
  }
  // The same keys where they say what nibble does anyway.
  EXPECT_EQ(warnings(with(kVicuna, R"("partial_rotary_factor": 1.0, "rope_interleaved": false,
    "clip_qkv": null, "embedding_multiplier": 1, "num_local_experts": 0, "no_rope_layers": [],
    "layer_types": ["full_attention"], "pruned_heads": {})")),
            std::vector<std::string>{});
  expect_error(ErrorKind::corrupt, "key \"logit_scale\": expected a number, found the string",
               [&] { warnings(with(kVicuna, R"("logit_scale": "2")")); });
}

TEST(ConfigKeys, UnknownOnesAreNamed) {
  const std::vector<std::string> one = warnings(with(kVicuna, R"("use_flying_heads": false)"));
  ASSERT_EQ(one.size(), 1u);
  EXPECT_NE(one[0].find("config.json: \"use_flying_heads\" is not a key that nibble knows"),
            std::string::npos)
      << one[0];
  for (const char* value : {"3", "0.5", "true", "[]", "{\"a\": 1}", "\"some\"", "NaN"}) {
    const auto said = warnings(with(kOptConfig, std::string(R"("head_twist": )") + value));
    ASSERT_EQ(said.size(), 1u) << value;
    EXPECT_NE(said[0].find("\"head_twist\""), std::string::npos) << said[0];
  }
  const auto many = warnings(
      with(kGpt2Config, R"("a1": 1, "a2": 2, "a3": 3, "a4": 4, "a5": 5, "a6": 6, "a7": null)"));
  ASSERT_EQ(many.size(), 1u);
  EXPECT_NE(many[0].find("\"a1\", \"a2\", \"a3\", \"a4\", \"a5\", ... are not keys"),
            std::string::npos)
      << many[0];
}

TEST(ConfigKeys, WhatHoldsForOneArchitectureDoesNotForAnother) {
  EXPECT_EQ(warnings(with(kGpt2Config, R"("reorder_and_upcast_attn": true)")).size(), 0u);
  EXPECT_EQ(warnings(with(kVicuna, R"("reorder_and_upcast_attn": true)")).size(), 1u);
  EXPECT_EQ(warnings(with(kVicuna, R"("sliding_window": 4096)")).size(), 1u);
  EXPECT_EQ(warnings(with(kVicuna, R"("sliding_window": null)")).size(), 0u);
}

// transformers writes them for settings that it was given as such.
TEST(ConfigKeys, NumbersThatAreNotFinite) {
  EXPECT_EQ(warnings(with(kVicuna, R"("attention_dropout": NaN, "temperature": Infinity)")).size(),
            0u);
  std::string text = kVicuna;
  text.replace(text.find("1e-05"), 5, "NaN");
  expect_error(ErrorKind::corrupt, "key \"rms_norm_eps\": expected a finite number, found NaN",
               [&] { warnings(text); });
  expect_error(ErrorKind::corrupt, "key \"rope_theta\": expected a finite number, found Infinity",
               [&] { warnings(with(kVicuna, R"("rope_theta": Infinity)")); });
}

}  // namespace
}  // namespace nibble
