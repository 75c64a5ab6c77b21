// GPT-2 (Radford et al. 2019) and what shares its model_type (DistilGPT-2): LayerNorm, learned
// positions, biases everywhere, q, k and v in one matrix, the blocks' matrices stored as Conv1D,
// that is [inputs, outputs].
#include <fmt/format.h>

#include "nibble/core/checked.h"
#include "nibble/model/architecture.h"
#include "nibble/model/hf_config.h"

namespace nibble::gpt2 {
namespace {

constexpr hf::NameRow kNames[] = {{Role::token_embedding, "wte"}, {Role::position_embedding, "wpe"},
                                  {Role::final_norm, "ln_f"},     {Role::lm_head, "lm_head"},
                                  {Role::attn_norm, "ln_1"},      {Role::qkv, "attn.c_attn"},
                                  {Role::o, "attn.c_proj"},       {Role::mlp_norm, "ln_2"},
                                  {Role::up, "mlp.c_fc"},         {Role::down, "mlp.c_proj"}};

std::string tensor_name(const ParamKey& key) { return hf::tensor_name(kNames, "h", key); }

// n_ctx is what files before transformers 3 said; where both stand they must agree.
int64_t read_context(const JsonFields& f) {
  if (!f.contains("n_positions")) return hf::size(f, "n_ctx");
  const int64_t positions = hf::size(f, "n_positions"), context = f.integer_or("n_ctx", positions);
  if (context != positions) {
    throw corrupt(fmt::format("is {}, n_positions is {}", context, positions)).at("key \"n_ctx\"");
  }
  return positions;
}

constexpr std::string_view kHarmless[] = {"reorder_and_upcast_attn", "summary_type",
                                          "summary_use_proj",        "summary_activation",
                                          "summary_proj_to_labels",  "summary_first_dropout"};

DecoderConfig read_config(const JsonFields& f) {
  hf::require_flag(f, "scale_attn_weights", true);
  hf::require_flag(f, "scale_attn_by_inverse_layer_idx", false);
  hf::require_flag(f, "add_cross_attention", false);
  DecoderConfig c;
  c.architecture = "gpt2";
  c.name_prefix = "transformer.";
  c.vocab_size = hf::size(f, "vocab_size");
  c.hidden_size = hf::size(f, "n_embd");
  c.layers = hf::size(f, "n_layer");
  c.heads = c.kv_heads = hf::size(f, "n_head");
  c.head_dim = hf::divide_heads(c.hidden_size, c.heads, "n_head");
  c.context = read_context(f);
  c.norm = NormKind::layer;
  c.norm_gain = c.norm_bias = c.final_norm = true;
  c.norm_eps = hf::positive_or(f, "layer_norm_epsilon", 1e-5);
  c.fused_qkv = c.qkv_bias = c.o_bias = c.mlp_bias = true;
  c.mlp = hf::activation(f, "activation_function", "gelu_new");
  c.tied = f.boolean_or("tie_word_embeddings", true);
  c.intermediate_size = f.integer_or("n_inner", saturating_mul(4, c.hidden_size));
  return c;
}

void write_config(const DecoderConfig& c, JsonWriter& out) {
  out.field("vocab_size", c.vocab_size);
  out.field("n_embd", c.hidden_size);
  out.field("n_layer", c.layers);
  out.field("n_head", c.heads);
  out.field("n_inner", c.intermediate_size);
  out.field("n_positions", c.context);
  out.field("n_ctx", c.context);
  out.field("layer_norm_epsilon", c.norm_eps);
  out.field("activation_function", hf::activation_name(c.mlp));
  out.field("tie_word_embeddings", c.tied);
}

constexpr GgufKey kGgufKeys[] = {
    {"context_length", "n_positions"},  {"embedding_length", "n_embd"},
    {"feed_forward_length", "n_inner"}, {"block_count", "n_layer"},
    {"attention.head_count", "n_head"}, {"attention.layer_norm_epsilon", "layer_norm_epsilon"},
};

}  // namespace

const Architecture& architecture() {
  static const GgufArchitecture kGguf{"gpt2", kGgufKeys};
  static const Architecture kGpt2{"gpt2",         read_config, write_config, tensor_name, false,
                                  "transformer.", true,        kHarmless,    &kGguf};
  return kGpt2;
}

}  // namespace nibble::gpt2
