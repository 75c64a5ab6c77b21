#include <fmt/format.h>

#include <algorithm>

#include "nibble/model/hf_lfm2.h"

namespace nibble::hf {
namespace {

constexpr NameRow kLfm2Names[] = {{Role::token_embedding, "embed_tokens"},
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

constexpr double kLfm2Theta = 1e6;

bool is_tied(const JsonFields& f) {
  const bool now = f.boolean_or("tie_word_embeddings", true),
             old = f.boolean_or("tie_embedding", now);
  if (old == now || !f.contains("tie_word_embeddings")) return old;
  throw corrupt(fmt::format("is {} and tie_word_embeddings is {}: keep one of them", old, now))
      .at("key \"tie_embedding\"");
}

RopeConfig read_lfm2_rope(const JsonFields& f, int64_t context) {
  const double theta = positive_or(f, "theta", kLfm2Theta);
  RopeConfig rope = read_rope(f, theta, context);
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
  read_layer_types(f, kKinds, otherwise, c);
}

}  // namespace

std::string lfm2_tensor_name(const ParamKey& key) { return tensor_name(kLfm2Names, "layers", key); }

DecoderConfig read_lfm2_like(const JsonFields& f, std::string_view model_type, int64_t width) {
  DecoderConfig c;
  c.architecture = model_type;
  c.name_prefix = "model.";
  c.vocab_size = size(f, "vocab_size");
  c.hidden_size = size(f, "hidden_size");
  c.intermediate_size = width;
  c.layers = size(f, "num_hidden_layers");
  c.heads = size(f, "num_attention_heads");
  c.kv_heads = f.integer_or("num_key_value_heads", c.heads);
  c.head_dim = divide_heads(c.hidden_size, c.heads, "num_attention_heads");
  c.context = size(f, "max_position_embeddings");
  c.norm_gain = c.final_norm = true;
  c.qk_norm = QkNorm::heads;
  c.norm_eps = positive_or(f, "norm_eps", 1e-5);
  c.position = PositionKind::rotary;
  c.rope = read_lfm2_rope(f, c.context);
  c.mlp = MlpKind::silu_gated;
  c.conv_taps = f.integer_or("conv_L_cache", 3);
  c.conv_bias = f.boolean_or("conv_bias", false);
  c.tied = is_tied(f);
  read_kinds(f, c);
  return c;
}

void write_lfm2_like(const DecoderConfig& c, JsonWriter& out) {
  out.field("vocab_size", c.vocab_size);
  out.field("hidden_size", c.hidden_size);
  out.field("intermediate_size", c.intermediate_size);
  out.field("num_hidden_layers", c.layers);
  out.field("num_attention_heads", c.heads);
  out.field("num_key_value_heads", c.kv_heads);
  out.field("max_position_embeddings", c.context);
  out.field("norm_eps", c.norm_eps);
  write_rope(c.rope, out);
  out.field("conv_L_cache", c.conv_taps);
  out.field("conv_bias", c.conv_bias);
  out.field("tie_word_embeddings", c.tied);
  write_layer_types(c, out);
}

}  // namespace nibble::hf
