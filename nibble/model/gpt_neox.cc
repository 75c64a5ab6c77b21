// GPT-NeoX and Pythia (Black et al. 2022; Biderman et al. 2023): LayerNorm, both halves of a layer
// beside each other, one matrix whose rows are a head's query, key and value, head by head.
#include "nibble/model/architecture.h"
#include "nibble/model/hf_config.h"

namespace nibble::gpt_neox {
namespace {

constexpr hf::NameRow kNames[] = {{Role::token_embedding, "embed_in"},
                                  {Role::final_norm, "final_layer_norm"},
                                  {Role::lm_head, "embed_out"},
                                  {Role::attn_norm, "input_layernorm"},
                                  {Role::qkv, "attention.query_key_value"},
                                  {Role::o, "attention.dense"},
                                  {Role::mlp_norm, "post_attention_layernorm"},
                                  {Role::up, "mlp.dense_h_to_4h"},
                                  {Role::down, "mlp.dense_4h_to_h"}};

std::string tensor_name(const ParamKey& key) { return hf::tensor_name(kNames, "layers", key); }

constexpr double kPart = 0.25;

DecoderConfig read_config(const JsonFields& f) {
  DecoderConfig c;
  c.architecture = "gpt_neox";
  c.name_prefix = "gpt_neox.";
  c.vocab_size = hf::size(f, "vocab_size");
  c.hidden_size = hf::size(f, "hidden_size");
  c.intermediate_size = hf::size(f, "intermediate_size");
  c.layers = hf::size(f, "num_hidden_layers");
  c.heads = c.kv_heads = hf::size(f, "num_attention_heads");
  c.head_dim = hf::divide_heads(c.hidden_size, c.heads, "num_attention_heads");
  c.context = hf::size(f, "max_position_embeddings");
  hf::set_layer_norm(f, "layer_norm_eps", true, c);
  c.position = PositionKind::rotary;
  c.rope = hf::read_rope(f, hf::positive_or(f, "rotary_emb_base", 10000), c.context,
                         {.parts = true, .part = hf::positive_or(f, "rotary_pct", kPart)});
  c.mlp = hf::activation(f, "hidden_act", "gelu");
  c.mlp_bias = true;
  c.qkv_bias = c.o_bias = f.boolean_or("attention_bias", true);
  c.fused_qkv = c.qkv_by_head = true;
  if (f.boolean_or("use_parallel_residual", true)) c.halves = Halves::own_norms;
  c.tied = f.boolean_or("tie_word_embeddings", false);
  return c;
}

void write_config(const DecoderConfig& c, JsonWriter& out) {
  out.field("vocab_size", c.vocab_size);
  out.field("hidden_size", c.hidden_size);
  out.field("intermediate_size", c.intermediate_size);
  out.field("num_hidden_layers", c.layers);
  out.field("num_attention_heads", c.heads);
  out.field("max_position_embeddings", c.context);
  out.field("layer_norm_eps", c.norm_eps);
  hf::write_rope(c.rope, out);
  if (c.rope.part == 1) out.field("partial_rotary_factor", 1.0);
  out.field("hidden_act", hf::activation_name(c.mlp));
  out.field("attention_bias", c.qkv_bias);
  out.field("use_parallel_residual", c.halves == Halves::own_norms);
  out.field("tie_word_embeddings", c.tied);
}

}  // namespace

const Architecture& architecture() {
  static const Architecture kGptNeox{"gpt_neox", read_config, write_config, tensor_name,
                                     false,      "gpt_neox.", false,        {}};
  return kGptNeox;
}

}  // namespace nibble::gpt_neox
