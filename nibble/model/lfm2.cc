// LFM2 (Liquid AI 2025): short gated convolutions in most layers, attention with normed queries and
// keys in the others.
#include <fmt/format.h>

#include <algorithm>

#include "nibble/core/checked.h"
#include "nibble/model/architecture.h"
#include "nibble/model/hf_config.h"

namespace nibble::lfm2 {
namespace {

constexpr hf::NameRow kNames[] = {{Role::token_embedding, "embed_tokens"},
                                  {Role::final_norm, "embedding_norm"},
                                  {Role::lm_head, "lm_head"},
                                  {Role::attn_norm, "operator_norm"},
                                  {Role::q, "self_attn.q_proj"},
                                  {Role::k, "self_attn.k_proj"},
                                  {Role::v, "self_attn.v_proj"},
                                  {Role::q_norm, "self_attn.q_layernorm"},
                                  {Role::k_norm, "self_attn.k_layernorm"},
                                  {Role::o, "self_attn.out_proj"},
                                  {Role::conv_in, "conv.in_proj"},
                                  {Role::conv, "conv.conv"},
                                  {Role::conv_out, "conv.out_proj"},
                                  {Role::mlp_norm, "ffn_norm"},
                                  {Role::gate, "feed_forward.w1"},
                                  {Role::up, "feed_forward.w3"},
                                  {Role::down, "feed_forward.w2"}};

// How weights were drawn, and sizes that others say as well.
constexpr std::string_view kHarmless[] = {"block_dim",
                                          "block_mlp_init_scale",
                                          "block_norm_eps",
                                          "block_out_init_scale",
                                          "block_use_swiglu",
                                          "block_use_xavier_init",
                                          "conv_dim",
                                          "conv_dim_out",
                                          "conv_use_xavier_init",
                                          "num_heads",
                                          "use_pos_enc",
                                          "intermediate_size"};

constexpr double kTheta = 1e6, kWidest = int64_t{1} << 31;

std::string tensor_name(const ParamKey& key) { return hf::tensor_name(kNames, "layers", key); }

// Two thirds of the width that is named, in whole blocks.
int64_t adjusted(const JsonFields& f, int64_t width) {
  if (!f.boolean_or("block_auto_adjust_ff_dim", true)) return width;
  width = 2 * width / 3;
  constexpr std::string_view kMultiplier = "block_ffn_dim_multiplier";
  if (!f.is_null(kMultiplier)) {
    const double multiplier = f.number_or(kMultiplier, 1.0);
    const double product = multiplier * static_cast<double>(width);
    if (!(multiplier > 0 && product <= kWidest))
      throw corrupt(fmt::format("is {}: no width of an MLP comes of it", multiplier))
          .at(hf::at_key(kMultiplier));
    width = static_cast<int64_t>(product);
  }
  const int64_t unit = f.contains("block_multiple_of") ? hf::size(f, "block_multiple_of") : 256;
  return ceil_div(width, unit) * unit;
}

// Before transformers had the architecture, files called three settings otherwise; where they do
// so, transformers takes these.
int64_t width_of(const JsonFields& f) {
  const bool old = f.contains("block_ff_dim") && !f.is_null("block_ff_dim");
  return hf::size(f, old ? "block_ff_dim" : "intermediate_size");
}

bool is_tied(const JsonFields& f) {
  const bool now = f.boolean_or("tie_word_embeddings", true),
             old = f.boolean_or("tie_embedding", now);
  if (old == now || !f.contains("tie_word_embeddings")) return old;
  throw corrupt(fmt::format("is {} and tie_word_embeddings is {}: keep one of them", old, now))
      .at("key \"tie_embedding\"");
}

RopeConfig read_rope(const JsonFields& f, int64_t context) {
  const double theta = hf::positive_or(f, "theta", kTheta);
  const RopeConfig rope = hf::read_rope(f, theta, context);
  if (rope.theta == theta || !f.contains("theta")) return rope;
  throw corrupt(fmt::format("is {} and rope_theta is {}: keep one of them", theta, rope.theta))
      .at("key \"theta\"");
}

// Layers that full_attn_idxs names attend; all, where neither it nor layer_types is there.
void read_kinds(const JsonFields& f, DecoderConfig& c) {
  constexpr LayerKind kKinds[] = {LayerKind::full, LayerKind::convolution};
  const std::vector<int64_t> attend =
      f.is_null("full_attn_idxs") ? std::vector<int64_t>() : f.integers("full_attn_idxs");
  const auto otherwise = [&](int64_t layer) {
    const bool named = std::find(attend.begin(), attend.end(), layer) != attend.end();
    return attend.empty() || named ? LayerKind::full : LayerKind::convolution;
  };
  hf::read_layer_types(f, kKinds, otherwise, c);
}

DecoderConfig read_config(const JsonFields& f) {
  DecoderConfig c;
  c.architecture = "lfm2";
  c.name_prefix = "model.";
  c.vocab_size = hf::size(f, "vocab_size");
  c.hidden_size = hf::size(f, "hidden_size");
  c.intermediate_size = adjusted(f, width_of(f));
  c.layers = hf::size(f, "num_hidden_layers");
  c.heads = hf::size(f, "num_attention_heads");
  c.kv_heads = f.integer_or("num_key_value_heads", c.heads);
  c.head_dim = hf::divide_heads(c.hidden_size, c.heads, "num_attention_heads");
  c.context = hf::size(f, "max_position_embeddings");
  c.norm_gain = c.final_norm = c.qk_norm = true;
  c.norm_eps = hf::positive_or(f, "norm_eps", 1e-5);
  c.position = PositionKind::rotary;
  c.rope = read_rope(f, c.context);
  c.mlp = MlpKind::silu_gated;
  c.conv_taps = f.integer_or("conv_L_cache", 3);
  c.conv_bias = f.boolean_or("conv_bias", false);
  c.tied = is_tied(f);
  read_kinds(f, c);
  return c;
}

void write_config(const DecoderConfig& c, JsonWriter& out) {
  out.field("vocab_size", c.vocab_size);
  out.field("hidden_size", c.hidden_size);
  out.field("intermediate_size", c.intermediate_size);
  out.field("block_auto_adjust_ff_dim", false);
  out.field("num_hidden_layers", c.layers);
  out.field("num_attention_heads", c.heads);
  out.field("num_key_value_heads", c.kv_heads);
  out.field("max_position_embeddings", c.context);
  out.field("norm_eps", c.norm_eps);
  hf::write_rope(c.rope, out);
  out.field("conv_L_cache", c.conv_taps);
  out.field("conv_bias", c.conv_bias);
  out.field("tie_word_embeddings", c.tied);
  hf::write_layer_types(c, out);
}

}  // namespace

const Architecture& architecture() {
  static constexpr Architecture kLfm2{"lfm2", read_config, write_config, tensor_name,
                                      false,  "model.",    false,        kHarmless};
  return kLfm2;
}

}  // namespace nibble::lfm2
