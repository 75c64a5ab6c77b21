#include "nibble/model/hf_qwen_hybrid.h"

namespace nibble::hf {
namespace {

constexpr int64_t kQwenHeadDim = 256, kInterval = 4;
constexpr double kQwenPart = 0.25;

// Positions of images: those of text are alike in all parts of a head.
void allow_image_positions(const JsonFields& f) {
  for (const std::string_view key :
       {"rope_parameters.mrope_section", "rope_parameters.mrope_interleaved",
        "rope_scaling.mrope_section", "rope_scaling.mrope_interleaved"})
    f.contains(key);
}

}  // namespace

DecoderConfig read_qwen_hybrid(const JsonFields& f, std::string_view model_type,
                               std::string_view width_key) {
  allow_image_positions(f);
  require_flag(f, "attn_output_gate", true);
  DecoderConfig c =
      read_llama_like(f, model_type, 10000, {.parts = true, .part = kQwenPart}, width_key);
  c.head_dim = f.integer_or("head_dim", kQwenHeadDim);
  c.norm_offset = 1;
  c.qk_norm = QkNorm::heads;
  c.attention_gate = true;
  c.qkv_bias = c.o_bias = f.boolean_or("attention_bias", false);
  DeltaConfig& d = c.delta;
  d.taps = f.integer_or("linear_conv_kernel_dim", 4);
  d.key_heads = f.integer_or("linear_num_key_heads", 16);
  d.value_heads = f.integer_or("linear_num_value_heads", 32);
  d.key_dim = f.integer_or("linear_key_head_dim", 128);
  d.value_dim = f.integer_or("linear_value_head_dim", 128);
  constexpr LayerKind kKinds[] = {LayerKind::full, LayerKind::delta};
  const int64_t every =
      f.contains("full_attention_interval") ? size(f, "full_attention_interval") : kInterval;
  read_layer_types(
      f, kKinds,
      [&](int64_t layer) { return (layer + 1) % every == 0 ? LayerKind::full : LayerKind::delta; },
      c);
  return c;
}

void write_qwen_hybrid(const DecoderConfig& c, JsonWriter& out) {
  write_llama_like(c, out);
  if (c.rope.part == 1) out.field("partial_rotary_factor", 1.0);
  out.field("attention_bias", c.qkv_bias);
  out.field("linear_conv_kernel_dim", c.delta.taps);
  out.field("linear_num_key_heads", c.delta.key_heads);
  out.field("linear_num_value_heads", c.delta.value_heads);
  out.field("linear_key_head_dim", c.delta.key_dim);
  out.field("linear_value_head_dim", c.delta.value_dim);
  write_layer_types(c, out);
}

}  // namespace nibble::hf
