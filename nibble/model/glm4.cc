// GLM-4 (Z.ai 2025): norms before and behind each half of a layer, rotary positions in half of each
// head, neighbours in pairs, gate and up as one matrix.
#include "nibble/model/architecture.h"
#include "nibble/model/hf_config.h"

namespace nibble::glm4 {
namespace {

constexpr hf::NameRow kNames[] = {{Role::post_attn_norm, "post_self_attn_layernorm"},
                                  {Role::mlp_norm, "post_attention_layernorm"},
                                  {Role::post_mlp_norm, "post_mlp_layernorm"},
                                  {Role::gate_up, "mlp.gate_up_proj"}};

std::string tensor_name(const ParamKey& key) { return hf::tensor_name_or_llama(kNames, key); }

constexpr int64_t kHeadDim = 128;

DecoderConfig read_config(const JsonFields& f) {
  DecoderConfig c =
      hf::read_llama_like(f, "glm4", 10000, {.parts = true, .part = 0.5, .neighbours = true});
  c.head_dim = f.integer_or("head_dim", kHeadDim);
  c.norm_eps = hf::positive_or(f, "rms_norm_eps", 1.5625e-7);
  c.qkv_bias = f.boolean_or("attention_bias", true);
  c.post_norms = c.fused_gate_up = true;
  return c;
}

void write_config(const DecoderConfig& c, JsonWriter& out) {
  hf::write_llama_like(c, out);
  if (c.rope.part == 1) out.field("partial_rotary_factor", 1.0);
  out.field("attention_bias", c.qkv_bias);
}

}  // namespace

const Architecture& architecture() {
  static const Architecture kGlm4{"glm4", read_config, write_config, tensor_name,
                                  false,  "model.",    false,        {}};
  return kGlm4;
}

}  // namespace nibble::glm4
