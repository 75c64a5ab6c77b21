// Nemotron-H, Nemotron Nano 2 and 3 (NVIDIA 2025): each layer is one of Mamba2, attention without
// positions, an MLP of a squared ReLU, or experts of the same.
#include <fmt/format.h>

#include <algorithm>

#include "nibble/model/architecture.h"
#include "nibble/model/hf_experts.h"
#include "nibble/model/hf_mamba.h"

namespace nibble::nemotron_h {
namespace {

constexpr hf::NameRow kNames[] = {
    {Role::token_embedding, "embeddings"},
    {Role::final_norm, "norm_f"},
    {Role::lm_head, "lm_head"},
    {Role::attn_norm, "norm"},
    {Role::mlp_norm, "norm"},
    {Role::q, "mixer.q_proj"},
    {Role::k, "mixer.k_proj"},
    {Role::v, "mixer.v_proj"},
    {Role::o, "mixer.o_proj"},
    {Role::up, "mixer.up_proj"},
    {Role::down, "mixer.down_proj"},
    {Role::delta_decay, "mixer.A_log", true},
    {Role::delta_decay_bias, "mixer.dt_bias", true},
    {Role::mamba_skip, "mixer.D", true},
    {Role::conv, "mixer.conv1d"},
    {Role::mamba_in, "mixer.in_proj"},
    {Role::mamba_norm, "mixer.norm"},
    {Role::mamba_out, "mixer.out_proj"},
    {Role::router, "mixer.gate"},
    {Role::router_correction, "mixer.gate.e_score_correction_bias", true},
    {Role::shared_up, "mixer.shared_experts.up_proj"},
    {Role::shared_down, "mixer.shared_experts.down_proj"}};
constexpr hf::NameRow kExperts[] = {{Role::up, "mixer.experts.{}.up_proj"},
                                    {Role::down, "mixer.experts.{}.down_proj"}};
// What only training does, and what transformers does not read.
constexpr std::string_view kHarmless[] = {"chunk_size",
                                          "expand",
                                          "mamba_ssm_cache_dtype",
                                          "moe_shared_expert_overlap",
                                          "mtp_layers_block_type",
                                          "mtp_hybrid_override_pattern",
                                          "num_logits_to_keep",
                                          "num_nextn_predict_layers",
                                          "rescale_prenorm_residual",
                                          "residual_in_fp32",
                                          "time_step_floor",
                                          "time_step_limit",
                                          "time_step_max",
                                          "use_mamba_kernels",
                                          "mamba_proj_bias",
                                          "n_shared_experts",
                                          "attention_bias",
                                          "output_router_logits",
                                          "norm_eps",
                                          "moe_intermediate_size",
                                          "moe_shared_expert_intermediate_size",
                                          "n_routed_experts",
                                          "num_experts_per_tok",
                                          "norm_topk_prob",
                                          "routed_scaling_factor",
                                          "n_group",
                                          "topk_group",
                                          "rope_theta",
                                          "partial_rotary_factor",
                                          "attention_head_dim",
                                          "num_query_groups",
                                          "moe_latent_size",
                                          "rms_norm_eps"};

std::string tensor_name(const ParamKey& key) {
  return key.expert >= 0 ? hf::tensor_name(kExperts, "layers", key)
                         : hf::tensor_name(kNames, "layers", key);
}

// Names of the layers; a letter each in older files.
std::vector<std::string> layer_names(const JsonFields& f) {
  for (const std::string_view key : {"layers_block_type", "layer_types"}) {
    std::vector<std::string> names = f.strings(key);
    if (!names.empty()) {
      f.contains("hybrid_override_pattern");
      return names;
    }
  }
  std::vector<std::string> names;
  for (const char letter : f.string("hybrid_override_pattern")) {
    if (letter == '|') continue;
    names.push_back(letter == 'M'   ? "mamba"
                    : letter == '*' ? "attention"
                    : letter == '-' ? "mlp"
                    : letter == 'E' ? "moe"
                                    : std::string(1, letter));
  }
  return names;
}

bool is_feed(const std::string& name) { return name == "mlp" || name == "moe"; }

void read_layers(const JsonFields& f, DecoderConfig& c) {
  std::vector<std::string> names = layer_names(f);
  c.layers = f.integer_or("num_hidden_layers", std::ssize(names));
  if (c.layers != std::ssize(names))
    throw corrupt(fmt::format("is {}; {} layers have a kind", c.layers, names.size()))
        .at(hf::at_key("num_hidden_layers"));
  for (const std::string& name : names) {
    c.feeds.push_back(static_cast<uint8_t>(is_feed(name)));
    c.sparse.push_back(static_cast<uint8_t>(name == "moe"));
  }
  for (std::string& name : names) {
    if (is_feed(name)) name = "mamba";
  }
  hf::read_mamba_kinds(names, "layers_block_type", c);
  for (size_t i = 0; i < names.size(); ++i) {
    if (c.feeds[i] != 0) c.layer_kinds[i] = LayerKind::none;
  }
}

void read_experts(const JsonFields& f, DecoderConfig& c) {
  if (std::count(c.sparse.begin(), c.sparse.end(), uint8_t{1}) == 0) {
    c.sparse.clear();
    return;
  }
  if (f.contains("moe_latent_size") && !f.is_null("moe_latent_size"))
    throw unsupported("experts between projections of their own cannot be run")
        .at(hf::at_key("moe_latent_size"));
  hf::require_flag(f, "mlp_bias", false);
  c.experts = hf::experts(f);
  c.experts_per_token = hf::size(f, "num_experts_per_tok");
  c.expert_size = hf::size(f, "moe_intermediate_size");
  c.shared_size = hf::size(f, "moe_shared_expert_intermediate_size");
  RouterConfig& r = c.router;
  r.sigmoid = r.correction = r.best_two = true;
  r.normalize = f.boolean_or("norm_topk_prob", true);
  r.floor = 1e-20;
  r.scale = hf::positive_or(f, "routed_scaling_factor", 1);
  r.groups = f.integer_or("n_group", 1);
  r.groups_chosen = f.integer_or("topk_group", 1);
}

DecoderConfig read_config(const JsonFields& f) {
  DecoderConfig c;
  c.architecture = "nemotron_h";
  c.name_prefix = "backbone.";
  c.vocab_size = hf::size(f, "vocab_size");
  c.hidden_size = hf::size(f, "hidden_size");
  c.intermediate_size = hf::size(f, "intermediate_size");
  c.heads = hf::size(f, "num_attention_heads");
  c.kv_heads = f.integer_or("num_key_value_heads", c.heads);
  c.head_dim = f.integer_or("head_dim", 128);
  c.context = hf::size(f, "max_position_embeddings");
  c.norm_gain = c.final_norm = true;
  c.norm_eps = hf::positive_or(f, "layer_norm_epsilon", 1e-5);
  c.position = PositionKind::none;
  c.mlp = hf::activation(f, "mlp_hidden_act", "relu2");
  hf::require_text(f, "mamba_hidden_act", "silu");
  c.mlp_bias = f.boolean_or("mlp_bias", false);
  c.tied = f.boolean_or("tie_word_embeddings", false);
  if (f.contains("sliding_window") && !f.is_null("sliding_window"))
    throw unsupported("windows of attention cannot be run").at(hf::at_key("sliding_window"));
  hf::read_nemotron_mamba(f, c);
  c.mamba.step_least = hf::positive_or(f, "time_step_min", 0.001);
  read_layers(f, c);
  read_experts(f, c);
  return c;
}

void write_experts(const DecoderConfig& c, JsonWriter& out) {
  out.field("n_routed_experts", c.experts).field("num_experts_per_tok", c.experts_per_token);
  out.field("moe_intermediate_size", expert_size(c));
  out.field("moe_shared_expert_intermediate_size", c.shared_size);
  out.field("norm_topk_prob", c.router.normalize);
  out.field("routed_scaling_factor", c.router.scale);
  out.field("n_group", c.router.groups).field("topk_group", c.router.groups_chosen);
}

void write_config(const DecoderConfig& c, JsonWriter& out) {
  const MambaConfig& m = c.mamba;
  out.field("vocab_size", c.vocab_size).field("hidden_size", c.hidden_size);
  out.field("intermediate_size", c.intermediate_size);
  out.field("num_attention_heads", c.heads).field("num_key_value_heads", c.kv_heads);
  out.field("head_dim", c.head_dim).field("max_position_embeddings", c.context);
  out.field("layer_norm_epsilon", c.norm_eps);
  out.field("mlp_hidden_act", hf::activation_name(c.mlp)).field("mlp_bias", c.mlp_bias);
  out.field("tie_word_embeddings", c.tied);
  out.field("mamba_num_heads", m.heads).field("mamba_head_dim", m.head_dim);
  out.field("n_groups", m.groups).field("ssm_state_size", m.state).field("conv_kernel", m.taps);
  out.field("use_conv_bias", m.conv_bias).field("use_bias", m.in_bias);
  out.field("time_step_min", m.step_least);
  if (c.experts > 0) write_experts(c, out);
  out.key("layers_block_type").begin_array();
  for (int i = 0; i < c.layers; ++i) {
    const LayerKind kind = layer_kind(c, i);
    out.value(kind == LayerKind::mamba  ? "linear_attention"
              : kind == LayerKind::full ? "full_attention"
              : has_experts(c, i)       ? "moe"
                                        : "mlp");
  }
  out.end_array();
}

}  // namespace

const Architecture& architecture() {
  static const Architecture kNemotronH{"nemotron_h", read_config, write_config, tensor_name,
                                       false,        "backbone.", false,        kHarmless};
  return kNemotronH;
}

}  // namespace nibble::nemotron_h
