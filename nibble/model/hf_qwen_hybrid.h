// What Qwen3-Next and Qwen3.5 share in config.json.
#pragma once

#include <string_view>

#include "nibble/model/hf_config.h"

namespace nibble::hf {

/// What changes nothing that is computed of text.
inline constexpr std::string_view kQwenHybrid[] = {
    "output_router_logits",   "router_aux_loss_coef",         "mamba_ssm_dtype",
    "mtp_num_hidden_layers",  "mtp_use_dedicated_embeddings", "attn_output_gate",
    "full_attention_interval"};

/// `width_key` is the width of an MLP, or of an expert.
DecoderConfig read_qwen_hybrid(const JsonFields& fields, std::string_view model_type,
                               std::string_view width_key = "intermediate_size");
void write_qwen_hybrid(const DecoderConfig& config, JsonWriter& out);

}  // namespace nibble::hf
