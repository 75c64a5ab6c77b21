// What Llama (Touvron et al. 2023) and its descendants share in config.json and in tensor names.
#include <fmt/format.h>

#include "nibble/model/hf_config.h"

namespace nibble::hf {
namespace {

constexpr NameRow kNames[] = {{Role::token_embedding, "embed_tokens"},
                              {Role::final_norm, "norm"},
                              {Role::lm_head, "lm_head"},
                              {Role::attn_norm, "input_layernorm"},
                              {Role::q, "self_attn.q_proj"},
                              {Role::k, "self_attn.k_proj"},
                              {Role::v, "self_attn.v_proj"},
                              {Role::q_norm, "self_attn.q_norm"},
                              {Role::k_norm, "self_attn.k_norm"},
                              {Role::o, "self_attn.o_proj"},
                              {Role::mlp_norm, "post_attention_layernorm"},
                              {Role::gate, "mlp.gate_proj"},
                              {Role::up, "mlp.up_proj"},
                              {Role::down, "mlp.down_proj"}};

constexpr GgufKey kGgufKeys[] = {
    {"context_length", "max_position_embeddings"},
    {"embedding_length", "hidden_size"},
    {"feed_forward_length", "intermediate_size"},
    {"block_count", "num_hidden_layers"},
    {"attention.head_count", "num_attention_heads"},
    {"attention.head_count_kv", "num_key_value_heads", false},
    {"attention.key_length", "head_dim", false},
    {"attention.layer_norm_rms_epsilon", "rms_norm_eps"},
    {"attention.sliding_window", "sliding_window", false},
};

}  // namespace

std::span<const GgufKey> llama_gguf_keys() { return kGgufKeys; }

std::string llama_tensor_name(const ParamKey& key) { return tensor_name(kNames, "layers", key); }

DecoderConfig read_llama_like(const JsonFields& f, std::string_view model_type, double theta,
                              const RopeReading& rope, std::string_view width_key) {
  DecoderConfig c;
  c.architecture = model_type;
  c.name_prefix = "model.";
  c.vocab_size = size(f, "vocab_size");
  c.hidden_size = size(f, "hidden_size");
  c.intermediate_size = size(f, width_key);
  c.layers = size(f, "num_hidden_layers");
  c.heads = size(f, "num_attention_heads");
  c.kv_heads = f.integer_or("num_key_value_heads", c.heads);
  c.head_dim = f.integer_or("head_dim", 0);
  if (c.head_dim == 0 && rope.of_own_heads)
    c.head_dim = divide_heads(c.hidden_size, c.heads, "num_attention_heads");
  c.context = size(f, "max_position_embeddings");
  c.norm = NormKind::rms;
  c.norm_gain = c.final_norm = true;
  c.norm_eps = positive_or(f, "rms_norm_eps", 1e-6);
  c.position = PositionKind::rotary;
  c.rope = read_rope(f, theta, c.context, rope);
  c.mlp = activation(f, "hidden_act", "silu", true);
  c.tied = f.boolean_or("tie_word_embeddings", false);
  return c;
}

void write_llama_like(const DecoderConfig& c, JsonWriter& out, bool rope) {
  out.field("vocab_size", c.vocab_size);
  out.field("hidden_size", c.hidden_size);
  out.field("intermediate_size", c.intermediate_size);
  out.field("num_hidden_layers", c.layers);
  out.field("num_attention_heads", c.heads);
  out.field("num_key_value_heads", c.kv_heads);
  // Of latent attention transformers calls the rotary part so.
  out.field("head_dim", c.latent.kv_rank > 0 ? c.latent.shared_dim : c.head_dim);
  out.field("max_position_embeddings", c.context);
  out.field("rms_norm_eps", c.norm_eps);
  if (rope) write_rope(c.rope, out);
  out.field("hidden_act", activation_name(c.mlp));
  out.field("tie_word_embeddings", c.tied);
}

void read_granite_scales(const JsonFields& f, DecoderConfig& c) {
  c.embedding_scale = positive_or(f, "embedding_multiplier", 1);
  c.attention_scale = positive_or(f, "attention_multiplier", 1);
  c.residual_scale = positive_or(f, "residual_multiplier", 1);
  c.logit_scale = 1 / positive_or(f, "logits_scaling", 1);
}

void write_granite_scales(const DecoderConfig& c, JsonWriter& out) {
  out.field("embedding_multiplier", c.embedding_scale);
  out.field("attention_multiplier", c.attention_scale);
  out.field("residual_multiplier", c.residual_scale);
  out.field("logits_scaling", 1 / c.logit_scale);
}

}  // namespace nibble::hf
