// Keys of config.json and names of tensors that mixtures of experts share.
#pragma once

#include <initializer_list>
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
                                                       "ep_size"};

/// Names that most mixtures share.
inline constexpr NameRow kExpertNames[] = {{Role::router, "mlp.gate"},
                                           {Role::gate, "mlp.experts.{}.gate_proj"},
                                           {Role::up, "mlp.experts.{}.up_proj"},
                                           {Role::down, "mlp.experts.{}.down_proj"}};
/// Of the expert that every row goes to: Qwen's, behind a gate, and DeepSeek's and its like.
inline constexpr NameRow kGatedExpertNames[] = {{Role::shared_router, "mlp.shared_expert_gate"},
                                                {Role::shared_gate, "mlp.shared_expert.gate_proj"},
                                                {Role::shared_up, "mlp.shared_expert.up_proj"},
                                                {Role::shared_down, "mlp.shared_expert.down_proj"}};
inline constexpr NameRow kCorrectionNames[] = {
    {Role::router_correction, "mlp.gate.e_score_correction_bias", true}};
inline constexpr NameRow kSharedExpertNames[] = {
    {Role::shared_gate, "mlp.shared_experts.gate_proj"},
    {Role::shared_up, "mlp.shared_experts.up_proj"},
    {Role::shared_down, "mlp.shared_experts.down_proj"}};

/// By the first table that has the role; as Llama names it where none has, and the MLPs of layers
/// without experts.
std::string expert_tensor_name(std::initializer_list<std::span<const NameRow>> tables,
                               const ParamKey& key);

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

/// shared_expert_intermediate_size, of an expert behind a gate that every row goes to.
void read_gated_expert(const JsonFields& fields, DecoderConfig& config);
void write_gated_expert(const DecoderConfig& config, JsonWriter& out);

/// What DeepSeek's mixtures are where their config does not say: experts for every row, and dense
/// layers in front.
struct MixtureDefaults {
  int64_t shared = 1, dense = 1;
};
/// Experts, an expert for every row, weights' scale, and dense layers before the others
/// (first_k_dense_replace or mlp_layer_types): what DeepSeek's mixtures have in common.
void read_deepseek_mixture(const JsonFields& fields, const MixtureDefaults& otherwise,
                           DecoderConfig& config);
/// Those of DeepSeek-V3 and its like: corrected sigmoids, and groups.
void read_deepseek_experts(const JsonFields& fields, int64_t dense, DecoderConfig& config);
void write_deepseek_experts(const DecoderConfig& config, JsonWriter& out);

}  // namespace nibble::hf
