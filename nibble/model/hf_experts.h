// Keys of config.json and names of tensors that mixtures of experts share.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "nibble/model/hf_config.h"

namespace nibble::hf {

/// What only training does.
inline constexpr std::string_view kExpertTraining[] = {"output_router_logits",
                                                       "router_aux_loss_coef",
                                                       "router_jitter_noise",
                                                       "aux_loss_alpha",
                                                       "seq_aux",
                                                       "num_nextn_predict_layers",
                                                       "num_mtp_layers",
                                                       "ep_size",
                                                       "moe_layer_freq",
                                                       "scoring_func",
                                                       "topk_method",
                                                       "rope_interleave",
                                                       "qk_head_dim",
                                                       "pretraining_tp"};

/// A row of `own`, but for the MLPs of layers without experts, which are named as Llama's.
std::string expert_tensor_name(std::span<const NameRow> own, const ParamKey& key);

/// num_experts, num_local_experts or n_routed_experts; Error{corrupt} where none is there, or two
/// differ.
int64_t experts(const JsonFields& fields);

/// The width of `key` experts (by default `otherwise`) that every row goes to, each `width` wide,
/// as one.
int64_t shared_size(const JsonFields& fields, std::string_view key, int64_t otherwise,
                    int64_t width);

/// Those of Qwen's mixtures: experts, their width, decoder_sparse_step and mlp_only_layers, and
/// norm_topk_prob, by default `normalize`.
void read_qwen_experts(const JsonFields& fields, bool normalize, DecoderConfig& config);
void write_qwen_experts(const DecoderConfig& config, JsonWriter& out);

/// Those of DeepSeek-V3 and its like: corrected sigmoids, groups, an expert for every row, dense
/// layers before the others (first_k_dense_replace or mlp_layer_types).
void read_deepseek_experts(const JsonFields& fields, DecoderConfig& config);
void write_deepseek_experts(const DecoderConfig& config, JsonWriter& out);

}  // namespace nibble::hf
