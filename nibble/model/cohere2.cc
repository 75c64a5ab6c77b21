// Command R7B and A (Cohere 2024): both halves of a layer read one LayerNorm; windows in three of
// four layers, and rotary positions in those alone.
#include "nibble/model/architecture.h"
#include "nibble/model/hf_config.h"

namespace nibble::cohere2 {
namespace {

constexpr double kLogitScale = 0.0625;
constexpr int64_t kPattern = 4;

DecoderConfig read_config(const JsonFields& f) {
  hf::require_flag(f, "use_parallel_block", true);
  hf::require_text(f, "position_embedding_type", "rope_gptj");
  DecoderConfig c = hf::read_llama_like(f, "cohere2", 10000, {.neighbours = true});
  hf::set_layer_norm(f, "layer_norm_eps", false, c);
  c.tied = f.boolean_or("tie_word_embeddings", true);
  hf::require_flag(f, "use_embedding_sharing", c.tied);
  c.qkv_bias = c.o_bias = f.boolean_or("attention_bias", false);
  c.halves = Halves::one_norm;
  c.logit_scale = hf::positive_or(f, "logit_scale", kLogitScale);
  const bool has_pattern = f.contains("sliding_window_pattern");
  hf::read_window_pattern(f, has_pattern ? hf::size(f, "sliding_window_pattern") : kPattern, c);
  for (const LayerKind kind : c.layer_kinds)
    c.turned.push_back(static_cast<uint8_t>(kind == LayerKind::window));
  return c;
}

void write_config(const DecoderConfig& c, JsonWriter& out) {
  hf::write_llama_like(c, out);
  out.field("layer_norm_eps", c.norm_eps);
  out.field("attention_bias", c.qkv_bias);
  out.field("logit_scale", c.logit_scale);
  out.key("sliding_window");
  c.sliding_window > 0 ? out.value(c.sliding_window) : out.null();
  hf::write_layer_types(c, out);
}

constexpr std::string_view kHarmless[] = {"order_of_interleaved_layers", "use_parallel_embedding"};

}  // namespace

const Architecture& architecture() {
  static const Architecture kCohere2{"cohere2", read_config, write_config, hf::llama_tensor_name,
                                     false,     "model.",    false,        kHarmless};
  return kCohere2;
}

}  // namespace nibble::cohere2
