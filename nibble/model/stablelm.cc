// StableLM 2 (Bellagente et al. 2024): LayerNorm, rotary positions in a part of each head.
#include "nibble/model/architecture.h"
#include "nibble/model/hf_config.h"

namespace nibble::stablelm {
namespace {

constexpr double kPart = 0.25;

DecoderConfig read_config(const JsonFields& f) {
  hf::require_flag(f, "qk_layernorm", false);
  DecoderConfig c = hf::read_llama_like(f, "stablelm", 10000, {.parts = true, .part = kPart});
  hf::set_layer_norm(f, "layer_norm_eps", true, c);
  c.qkv_bias = f.boolean_or("use_qkv_bias", false);
  if (f.boolean_or("use_parallel_residual", false)) c.halves = Halves::one_norm;
  return c;
}

void write_config(const DecoderConfig& c, JsonWriter& out) {
  hf::write_llama_like(c, out);
  if (c.rope.part == 1) out.field("partial_rotary_factor", 1.0);
  out.field("layer_norm_eps", c.norm_eps);
  out.field("use_qkv_bias", c.qkv_bias);
  out.field("use_parallel_residual", c.halves == Halves::one_norm);
}

}  // namespace

const Architecture& architecture() {
  static const Architecture kStablelm{"stablelm", read_config, write_config, hf::llama_tensor_name,
                                      false,      "model.",    false,        {}};
  return kStablelm;
}

}  // namespace nibble::stablelm
