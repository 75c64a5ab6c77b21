// Keys of config.json and names of tensors of multi-head latent attention (DeepSeek-V2 and its
// like).
#pragma once

#include "nibble/model/hf_experts.h"

namespace nibble::hf {

inline constexpr NameRow kLatentNames[] = {{Role::q_down, "self_attn.q_a_proj"},
                                           {Role::q_down_norm, "self_attn.q_a_layernorm"},
                                           {Role::q_up, "self_attn.q_b_proj"},
                                           {Role::kv_down, "self_attn.kv_a_proj_with_mqa"},
                                           {Role::kv_down_norm, "self_attn.kv_a_layernorm"},
                                           {Role::kv_up, "self_attn.kv_b_proj"}};

/// What read_llama_like() reads, and the parts that queries, keys and values are made of; pairs of
/// rotary elements are `neighbours` or halves. The caller reads the experts.
DecoderConfig read_latent_like(const JsonFields& fields, std::string_view model_type,
                               bool neighbours);
void write_latent_like(const DecoderConfig& config, JsonWriter& out);

/// The same with DeepSeek-V3's experts (read_deepseek_experts(): `dense` layers without them where
/// the config does not say), and pairs as rope_interleave says; the names of both.
DecoderConfig read_latent_mixture(const JsonFields& fields, std::string_view model_type,
                                  int64_t dense);
void write_latent_mixture(const DecoderConfig& config, JsonWriter& out);
std::string latent_mixture_name(const ParamKey& key);

}  // namespace nibble::hf
