// What Qwen3-Next and Qwen3.5 share in config.json.
#pragma once

#include <string_view>

#include "nibble/model/hf_config.h"

namespace nibble::hf {

/// What changes nothing that is computed of text.
inline constexpr std::string_view kQwenHybrid[] = {
    "output_router_logits",  "router_aux_loss_coef",         "mamba_ssm_dtype",
    "mtp_num_hidden_layers", "mtp_use_dedicated_embeddings", "full_attention_interval"};

/// Names of delta layers; with the projections of Qwen3.5.
inline constexpr NameRow kDeltaNames[] = {{Role::delta_decay, "linear_attn.A_log", true},
                                          {Role::delta_decay_bias, "linear_attn.dt_bias", true},
                                          {Role::conv, "linear_attn.conv1d"},
                                          {Role::delta_norm, "linear_attn.norm"},
                                          {Role::delta_out, "linear_attn.out_proj"},
                                          {Role::delta_qkv, "linear_attn.in_proj_qkv"},
                                          {Role::delta_z, "linear_attn.in_proj_z"},
                                          {Role::delta_b, "linear_attn.in_proj_b"},
                                          {Role::delta_a, "linear_attn.in_proj_a"}};

/// `width_key` is the width of an MLP, or of an expert.
DecoderConfig read_qwen_hybrid(const JsonFields& fields, std::string_view model_type,
                               std::string_view width_key = "intermediate_size");
void write_qwen_hybrid(const DecoderConfig& config, JsonWriter& out);

}  // namespace nibble::hf
