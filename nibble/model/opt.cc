// OPT (Zhang et al. 2022): LayerNorm before each half of a block, ReLU, learned positions that
// begin at row 2 of their table. The 350m model, which norms behind and projects its embeddings, is
// refused.
#include <fmt/format.h>

#include "nibble/model/architecture.h"
#include "nibble/model/hf_config.h"

namespace nibble::opt {
namespace {

constexpr hf::NameRow kNames[] = {{Role::token_embedding, "decoder.embed_tokens"},
                                  {Role::position_embedding, "decoder.embed_positions"},
                                  {Role::final_norm, "decoder.final_layer_norm"},
                                  {Role::lm_head, "lm_head"},
                                  {Role::attn_norm, "self_attn_layer_norm"},
                                  {Role::q, "self_attn.q_proj"},
                                  {Role::k, "self_attn.k_proj"},
                                  {Role::v, "self_attn.v_proj"},
                                  {Role::o, "self_attn.out_proj"},
                                  {Role::mlp_norm, "final_layer_norm"},
                                  {Role::up, "fc1"},
                                  {Role::down, "fc2"}};

constexpr int64_t kPositionOffset = 2;
constexpr std::string_view kHarmless[] = {"activation_dropout", "layerdrop"};

std::string tensor_name(const ParamKey& key) {
  return hf::tensor_name(kNames, "decoder.layers", key);
}

DecoderConfig read_config(const JsonFields& f) {
  hf::require_flag(f, "do_layer_norm_before", true);
  hf::require_flag(f, "_remove_final_layer_norm", false);
  hf::require_flag(f, "layer_norm_elementwise_affine", true);
  DecoderConfig c;
  c.architecture = "opt";
  c.name_prefix = "model.";
  c.vocab_size = hf::size(f, "vocab_size");
  c.hidden_size = hf::size(f, "hidden_size");
  c.layers = hf::size(f, "num_hidden_layers");
  c.heads = c.kv_heads = hf::size(f, "num_attention_heads");
  c.head_dim = hf::divide_heads(c.hidden_size, c.heads, "num_attention_heads");
  c.intermediate_size = hf::size(f, "ffn_dim");
  c.context = hf::size(f, "max_position_embeddings");
  c.position_offset = kPositionOffset;
  c.norm = NormKind::layer;
  c.norm_gain = c.norm_bias = c.final_norm = true;
  c.norm_eps = 1e-5;  // PyTorch's; the config has no key for it
  c.qkv_bias = c.o_bias = c.mlp_bias = f.boolean_or("enable_bias", true);
  c.mlp = hf::activation(f, "activation_function", "relu");
  c.tied = f.boolean_or("tie_word_embeddings", true);
  const int64_t width = f.integer_or("word_embed_proj_dim", c.hidden_size);
  if (width == c.hidden_size) return c;
  throw unsupported(fmt::format("embeddings of width {} that are projected to {} cannot be run",
                                width, c.hidden_size))
      .at("key \"word_embed_proj_dim\"");
}

void write_config(const DecoderConfig& c, JsonWriter& out) {
  out.field("vocab_size", c.vocab_size);
  out.field("hidden_size", c.hidden_size);
  out.field("word_embed_proj_dim", c.hidden_size);
  out.field("num_hidden_layers", c.layers);
  out.field("num_attention_heads", c.heads);
  out.field("ffn_dim", c.intermediate_size);
  out.field("max_position_embeddings", c.context);
  out.field("do_layer_norm_before", true);
  out.field("enable_bias", c.qkv_bias);
  out.field("activation_function", hf::activation_name(c.mlp));
  out.field("tie_word_embeddings", c.tied);
}

}  // namespace

const Architecture& architecture() {
  static constexpr Architecture kOpt{"opt", read_config, write_config, tensor_name,
                                     false, "model.",    false,        kHarmless};
  return kOpt;
}

}  // namespace nibble::opt
