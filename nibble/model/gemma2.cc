// Gemma 2 (Gemma Team 2024): norms before and behind each half of a layer, gains stored less 1, a
// tanh-capped softmax and head, a scaled embedding, GELU behind the gate, windows in every other
// layer.
#include <cmath>

#include "nibble/core/float_formats.h"
#include "nibble/format/gguf_write.h"
#include "nibble/model/architecture.h"
#include "nibble/model/hf_config.h"

namespace nibble::gemma2 {
namespace {

constexpr hf::NameRow kNorms[] = {{Role::post_attn_norm, "post_attention_layernorm"},
                                  {Role::mlp_norm, "pre_feedforward_layernorm"},
                                  {Role::post_mlp_norm, "post_feedforward_layernorm"}};

// transformers' defaults.
constexpr int64_t kHeadDim = 256, kWindow = 4096;
constexpr double kQueryScalar = 256, kAttentionCap = 50, kFinalCap = 30;

std::string tensor_name(const ParamKey& key) {
  for (const hf::NameRow& r : kNorms) {
    if (r.role == key.role) return hf::tensor_name(kNorms, "layers", key);
  }
  return hf::llama_tensor_name(key);
}

// Null: none.
double cap(const JsonFields& f, std::string_view key, double otherwise) {
  return f.is_null(key) ? 0 : f.number_or(key, otherwise);
}

// As the weights' own type has it: what the model was trained with.
double embedding_scale(const JsonFields& f, int64_t width) {
  const auto root = static_cast<float>(std::sqrt(static_cast<double>(width)));
  const std::string type = f.string_or("dtype", f.string_or("torch_dtype", "float32"));
  return type == "bfloat16" ? bf16_to_f32(f32_to_bf16(root)) : root;
}

DecoderConfig read_config(const JsonFields& f) {
  hf::require_flag(f, "use_bidirectional_attention", false);
  DecoderConfig c = hf::read_llama_like(f, "gemma2");
  c.head_dim = f.integer_or("head_dim", kHeadDim);
  c.mlp = hf::activation(f, "hidden_activation", "gelu_pytorch_tanh", true);
  c.qkv_bias = c.o_bias = f.boolean_or("attention_bias", false);
  c.tied = f.boolean_or("tie_word_embeddings", true);
  c.post_norms = true;
  c.norm_offset = 1;
  c.embedding_scale = embedding_scale(f, c.hidden_size);
  c.attention_scale = 1 / std::sqrt(hf::positive_or(f, "query_pre_attn_scalar", kQueryScalar));
  c.attention_softcap = cap(f, "attn_logit_softcapping", kAttentionCap);
  c.final_softcap = cap(f, "final_logit_softcapping", kFinalCap);
  c.sliding_window = f.integer_or("sliding_window", kWindow);
  constexpr LayerKind kKinds[] = {LayerKind::full, LayerKind::window};
  hf::read_layer_types(
      f, kKinds, [](int64_t layer) { return layer % 2 == 0 ? LayerKind::window : LayerKind::full; },
      c);
  return c;
}

void write_cap(std::string_view key, double value, JsonWriter& out) {
  out.key(key);
  value > 0 ? out.value(value) : out.null();
}

void write_config(const DecoderConfig& c, JsonWriter& out) {
  hf::write_llama_like(c, out);
  out.field("hidden_activation", hf::activation_name(c.mlp));
  out.field("attention_bias", c.qkv_bias);
  out.field("query_pre_attn_scalar", 1 / (c.attention_scale * c.attention_scale));
  write_cap("attn_logit_softcapping", c.attention_softcap, out);
  write_cap("final_logit_softcapping", c.final_softcap, out);
  out.field("sliding_window", c.sliding_window);
  hf::write_layer_types(c, out);
}

constexpr int64_t kLayersOf27B = 46;

// llama.cpp knows the one model whose queries are not scaled by their own width by its layers.
void read_more(const GgufMetadata& metadata, JsonWriter& out) {
  const int64_t heads = metadata.integer("gemma2.attention.head_count"),
                width = metadata.integer("gemma2.embedding_length"),
                own = heads > 0 ? width / heads : kHeadDim,
                head_dim = metadata.integer_if("gemma2.attention.key_length").value_or(own);
  const bool is_27b = metadata.integer("gemma2.block_count") == kLayersOf27B;
  out.field("query_pre_attn_scalar", is_27b ? own : head_dim);
  for (const std::string_view name : {"attn_logit_softcapping", "final_logit_softcapping"})
    out.field(name, metadata.number_if("gemma2." + std::string(name))
                        .value_or(name.starts_with("attn") ? kAttentionCap : kFinalCap));
}

// Windows in every other layer, and scores scaled as read_more() has it.
bool says(const DecoderConfig& c) {
  for (int64_t i = 0; i < c.layers; ++i) {
    const LayerKind usual = i % 2 == 0 ? LayerKind::window : LayerKind::full;
    if (layer_kind(c, static_cast<int>(i)) != usual) return false;
  }
  const int64_t scalar = c.layers == kLayersOf27B ? c.hidden_size / c.heads : c.head_dim;
  return std::fabs(c.attention_scale * std::sqrt(static_cast<double>(scalar)) - 1) < 1e-6;
}

void write_more(const DecoderConfig& c, GgufWriter& out) {
  out.add_f32("gemma2.attn_logit_softcapping", c.attention_softcap);
  out.add_f32("gemma2.final_logit_softcapping", c.final_softcap);
}

}  // namespace

const Architecture& architecture() {
  static const GgufArchitecture kGguf{
      "gemma2", hf::llama_gguf_keys(), false, nullptr, read_more, write_more, says};
  static const Architecture kGemma2{"gemma2", read_config, write_config, tensor_name, false,
                                    "model.", false,       {},           &kGguf};
  return kGemma2;
}

}  // namespace nibble::gemma2
