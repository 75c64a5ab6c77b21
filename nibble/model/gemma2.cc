// Gemma 2 (Gemma Team 2024): norms before and behind each half of a layer, gains stored less 1, a
// tanh-capped softmax and head, a scaled embedding, GELU behind the gate, windows in every other
// layer.
#include <cmath>

#include "nibble/format/gguf_write.h"
#include "nibble/model/architecture.h"
#include "nibble/model/hf_gemma.h"

namespace nibble::gemma2 {
namespace {

// transformers' defaults.
constexpr double kAttentionCap = 50, kFinalCap = 30;

DecoderConfig read_config(const JsonFields& f) {
  DecoderConfig c = hf::read_gemma_like(f, "gemma2", 10000);
  c.attention_softcap = hf::read_cap(f, "attn_logit_softcapping", kAttentionCap);
  c.final_softcap = hf::read_cap(f, "final_logit_softcapping", kFinalCap);
  c.sliding_window = f.integer_or("sliding_window", hf::kGemmaWindow);
  constexpr LayerKind kKinds[] = {LayerKind::full, LayerKind::window};
  hf::read_layer_types(
      f, kKinds, [](int64_t layer) { return layer % 2 == 0 ? LayerKind::window : LayerKind::full; },
      c);
  return c;
}

void write_config(const DecoderConfig& c, JsonWriter& out) { hf::write_gemma_like(c, out, true); }

constexpr int64_t kLayersOf27B = 46;

// llama.cpp knows the one model whose queries are not scaled by their own width by its layers.
void read_more(const GgufMetadata& metadata, JsonWriter& out) {
  const int64_t heads = metadata.integer("gemma2.attention.head_count"),
                width = metadata.integer("gemma2.embedding_length"),
                own = heads > 0 ? width / heads : hf::kGemmaHeadDim,
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
  static const Architecture kGemma2{"gemma2", read_config, write_config, hf::gemma_tensor_name,
                                    false,    "model.",    false,        {},
                                    &kGguf};
  return kGemma2;
}

}  // namespace nibble::gemma2
