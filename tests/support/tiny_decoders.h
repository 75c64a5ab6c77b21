// A small random decoder of every architecture, for tests of what must hold for all of them.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "nibble/model/architecture.h"
#include "tests/support/tiny_model.h"

namespace nibble {

/// What an architecture needs or can have beside what all of Llama's kind have.
struct TinyKeys {
  std::string_view type, keys;
};
inline constexpr std::string_view kTinyWindows =
    R"("sliding_window": 6, "layer_types": ["sliding_attention", "full_attention"])";
inline constexpr std::string_view kTinyHybrid =
    R"("head_dim": 4, "partial_rotary_factor": 0.5, "linear_num_key_heads": 2,
       "linear_num_value_heads": 4, "linear_key_head_dim": 4, "linear_value_head_dim": 6,
       "linear_conv_kernel_dim": 3, "layer_types": ["linear_attention", "full_attention"])";
inline constexpr std::string_view kTinyMamba =
    R"("mamba_n_heads": 4, "mamba_d_head": 8, "mamba_n_groups": 2, "mamba_d_state": 6,
       "mamba_d_conv": 3)";
inline constexpr std::string_view kTinyExperts =
    R"("num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 12)";
inline constexpr std::string_view kTinyLatent =
    R"("kv_lora_rank": 6, "qk_nope_head_dim": 3, "qk_rope_head_dim": 4, "n_routed_experts": 4,
       "num_experts_per_tok": 2, "moe_intermediate_size": 12, "first_k_dense_replace": 1)";
inline constexpr TinyKeys kTinyKeys[] = {
    {"mixtral", R"("num_local_experts": 4, "num_experts_per_tok": 2)"},
    {"gemma2", R"("head_dim": 4, "query_pre_attn_scalar": 5, "attn_logit_softcapping": 2.0,
                  "final_logit_softcapping": 3.0, "sliding_window": 6)"},
    {"gemma3_text", R"("head_dim": 4, "query_pre_attn_scalar": 5, $windows)"},
    {"phi3", R"("sliding_window": 6, "original_max_position_embeddings": 32, "rope_scaling":
                {"type": "longrope", "short_factor": [1.0, 1.5], "long_factor": [2.0, 3.0]})"},
    {"ministral3", R"("head_dim": 4, "sliding_window": null, "rope_parameters":
                      {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0,
                       "original_max_position_embeddings": 16, "llama_4_scaling_beta": 0.3})"},
    {"smollm3", R"("no_rope_layers": [1, 0])"},
    {"granite", R"("attention_multiplier": 0.4, "embedding_multiplier": 3.0,
                   "residual_multiplier": 0.5, "logits_scaling": 2.0)"},
    {"olmo2", R"("attention_bias": true)"},
    {"olmo3", R"($windows, "rope_scaling": {"rope_type": "linear", "factor": 2.0})"},
    {"glm4", R"("head_dim": 4)"},
    {"ernie4_5", R"("head_dim": 4, "use_bias": true)"},
    {"hunyuan_v1_dense", R"("rope_scaling": {"type": "dynamic", "factor": 1.0, "alpha": 10.0})"},
    {"exaone4", R"("head_dim": 4, $windows)"},
    {"cohere", R"("logit_scale": 0.3)"},
    {"cohere2", R"("head_dim": 4, "logit_scale": 0.3, $windows)"},
    {"stablelm", R"("partial_rotary_factor": 0.5, "use_qkv_bias": true)"},
    {"qwen3_moe", R"("head_dim": 4, "norm_topk_prob": true, $experts)"},
    {"qwen2_moe", R"("shared_expert_intermediate_size": 20, $experts)"},
    {"olmoe", R"("num_experts": 4, "num_experts_per_tok": 2)"},
    {"ernie4_5_moe", R"("moe_num_experts": 4, "moe_k": 2, "moe_intermediate_size": 12,
                        "moe_num_shared_experts": 2, "moe_layer_start_index": 1)"},
    {"glm4_moe", R"("head_dim": 4, "n_routed_experts": 4, "num_experts_per_tok": 2, "n_group": 2,
                    "topk_group": 1, "moe_intermediate_size": 12, "first_k_dense_replace": 1,
                    "routed_scaling_factor": 1.5, "use_qk_norm": true)"},
    {"lfm2_moe", R"("num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 12,
                    "num_dense_layers": 1, "layer_types": ["conv", "full_attention"])"},
    {"gpt_oss", R"("head_dim": 4, "sliding_window": 6, "num_local_experts": 4,
                   "num_experts_per_tok": 2)"},
    {"gemma4_text", R"("head_dim": 4, "global_head_dim": 8, "hidden_size_per_layer_input": 0,
                       $windows, "attention_k_eq_v": true, "num_global_key_value_heads": 1,
                       "enable_moe_block": true, "num_experts": 4, "top_k_experts": 2,
                       "moe_intermediate_size": 12)"},
    {"qwen3_5_text", R"($hybrid)"},
    {"qwen3_5_moe_text", R"($hybrid, $experts, "shared_expert_intermediate_size": 20)"},
    {"deepseek_v2", R"($latent, "q_lora_rank": null, "v_head_dim": 5, "n_group": 2, "topk_group": 1,
                       "topk_method": "group_limited_greedy", "routed_scaling_factor": 1.5)"},
    {"deepseek_v3", R"($latent, "q_lora_rank": 5, "v_head_dim": 9, "n_group": 2, "topk_group": 1,
                       "attention_bias": true, "rope_parameters": {"rope_type": "yarn",
                       "rope_theta": 10000.0, "factor": 4.0, "mscale": 0.7, "mscale_all_dim": 0.9,
                       "original_max_position_embeddings": 16})"},
    {"glm4_moe_lite", R"($latent, "q_lora_rank": 7, "v_head_dim": 7, "rope_interleave": false)"},
    {"granitemoehybrid", R"($mamba, "num_local_experts": 4, "num_experts_per_tok": 2,
                            "shared_intermediate_size": 20, "position_embedding_type": "rope",
                            "mamba_expand": 2, "mamba_proj_bias": true,
                            "attention_multiplier": 0.4, "embedding_multiplier": 3.0,
                            "residual_multiplier": 0.5, "logits_scaling": 2.0,
                            "time_step_limit": [0.4, 2.0],
                            "layer_types": ["linear_attention", "full_attention"])"},
    {"falcon_h1", R"($mamba, "mamba_d_ssm": 32, "mamba_rms_norm": true, "key_multiplier": 0.5,
                     "attention_in_multiplier": 1.5, "attention_out_multiplier": 0.7,
                     "ssm_in_multiplier": 1.25, "ssm_out_multiplier": 0.8,
                     "ssm_multipliers": [0.7, 0.8, 0.9, 1.1, 1.2],
                     "mlp_multipliers": [0.8, 0.6], "lm_head_multiplier": 0.5)"},
    {"qwen3_next", R"($hybrid, $experts, "shared_expert_intermediate_size": 20)"}};

inline std::string tiny_decoder_keys(const std::string& type) {
  std::string keys = R"("sliding_window": null)";
  for (const TinyKeys& k : kTinyKeys) {
    if (k.type == type) keys = k.keys;
  }
  for (const auto& [name, value] :
       {std::pair<std::string_view, std::string_view>("$windows", kTinyWindows),
        {"$hybrid", kTinyHybrid},
        {"$latent", kTinyLatent},
        {"$mamba", kTinyMamba},
        {"$experts", kTinyExperts}}) {
    const size_t at = keys.find(name);
    if (at != std::string::npos) keys.replace(at, name.size(), value);
  }
  return keys + "}";
}

inline std::string tiny_decoder_json(const std::string& type) {
  const std::string common = R"({"model_type": ")" + type + R"(", "vocab_size": 50, )";
  std::string keys;
  if (type == "gpt2")
    keys = R"("n_embd": 16, "n_layer": 2, "n_head": 4, "n_positions": 64})";
  else if (type == "opt")
    keys = R"("hidden_size": 16, "ffn_dim": 24, "num_hidden_layers": 2, "num_attention_heads": 4,
              "max_position_embeddings": 64})";
  else if (type == "gpt_neox")
    keys = R"("hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2,
              "num_attention_heads": 4, "max_position_embeddings": 64, "rotary_pct": 0.5})";
  else if (type == "nemotron_h")
    keys = R"("hidden_size": 16, "intermediate_size": 24, "num_attention_heads": 4,
              "num_key_value_heads": 2, "head_dim": 4, "max_position_embeddings": 64,
              "mamba_num_heads": 4, "mamba_head_dim": 8, "n_groups": 2, "ssm_state_size": 6,
              "conv_kernel": 3, "n_routed_experts": 4, "num_experts_per_tok": 2,
              "moe_intermediate_size": 12, "moe_shared_expert_intermediate_size": 20,
              "n_group": 2, "topk_group": 1, "routed_scaling_factor": 1.5,
              "layers_block_type": ["mamba", "mlp", "attention", "moe"]})";
  else if (type == "lfm2")
    keys = R"("hidden_size": 16, "intermediate_size": 24, "block_auto_adjust_ff_dim": false,
              "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
              "max_position_embeddings": 64, "tie_word_embeddings": false,
              "layer_types": ["conv", "full_attention"]})";
  else
    keys = R"("hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2,
              "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64,
              "rms_norm_eps": 1e-6, "tie_word_embeddings": false, )" +
           tiny_decoder_keys(type);
  // Every head of latent attention has a key of its own.
  const size_t shared = keys.find("heads\": 2");
  if (keys.find("kv_lora_rank") != std::string::npos) keys.replace(shared, 9, "heads\": 4");
  return common + keys;
}

inline DecoderConfig tiny_decoder_config(const std::string& type) {
  if (type == "micro_gpt") return tiny_config(CharTokenizer::from_text(kTinyText, true));
  return architecture(type).read_config(JsonFields::parse(tiny_decoder_json(type)));
}

/// Random weights, gains around 1, so that no norm hides what is in front of it.
inline Model tiny_decoder(const DecoderConfig& config, uint64_t seed) {
  TensorMap weights = random_weights(config, seed, 0.3);
  for (const ParamSpec& p : parameter_table(config)) {
    if (p.shape.rank() != 1 || p.bias) continue;
    for (float& v : weights.at(p.name).mutable_data<float>()) v += 1;
  }
  return in_memory(config, std::move(weights), CharTokenizer::from_text(kTinyText, true));
}

inline std::vector<float> logits_of_tokens(const Model& model, const std::vector<int32_t>& ids) {
  const Decoder decoder = load_decoder(model);
  KvCache cache = decoder.make_cache(static_cast<int64_t>(ids.size()));
  return decoder.forward(ids, cache, Decoder::Logits::all, Exec{});
}

/// A model in memory as a folder, its matrices in f32. Returns `folder`.
inline std::string write_tiny_decoder(const Model& model, const std::string& folder) {
  std::vector<WritableParameter> parameters;
  for (const ParamSpec& p : parameter_table(model.config))
    parameters.push_back(
        {p, std::nullopt, DType::f32, [&model, p] { return load_weight(model, p); }});
  std::filesystem::create_directories(folder);
  const CharTokenizer tokenizer = CharTokenizer::from_text(kTinyText, true);
  write_model(folder, model.config, parameters, &tokenizer);
  return folder;
}

/// A Llama whose widths are whole blocks of 256 inputs.
inline DecoderConfig blocky_decoder_config(int64_t layers) {
  DecoderConfig c = tiny_decoder_config("llama");
  c.layers = layers;
  c.hidden_size = c.intermediate_size = 256;
  c.heads = 4;
  c.kv_heads = 2;
  c.head_dim = 64;
  c.tied = false;
  return c;
}

}  // namespace nibble
