// OLMo 3 (Ai2 2025): OLMo 2 with windows in three of four layers, whose rotary positions are not
// stretched.
#include "nibble/model/architecture.h"
#include "nibble/model/hf_config.h"

namespace nibble::olmo3 {
namespace {

constexpr hf::NameRow kNames[] = {{Role::post_attn_norm, "post_attention_layernorm"},
                                  {Role::post_mlp_norm, "post_feedforward_layernorm"}};

std::string tensor_name(const ParamKey& key) { return hf::tensor_name_or_llama(kNames, key); }

constexpr double kTheta = 500000;
constexpr int64_t kPattern = 4;

// Files before transformers 5 say one for both kinds; only layers that see all are stretched by it.
RopeConfig window_rope(const JsonFields& f, const DecoderConfig& c) {
  if (f.has_section("rope_parameters.sliding_attention"))
    return hf::read_rope(f, kTheta, c.context, {.layers = "sliding_attention"});
  RopeConfig plain;
  plain.theta = c.rope.theta;
  return plain;
}

DecoderConfig read_config(const JsonFields& f) {
  DecoderConfig c = hf::read_llama_like(f, "olmo3", kTheta, {.layers = "full_attention"});
  c.norm_eps = hf::positive_or(f, "rms_norm_eps", 1e-5);
  c.qkv_bias = c.o_bias = f.boolean_or("attention_bias", false);
  c.pre_norms = false;
  c.post_norms = true;
  c.qk_norm = QkNorm::rows;
  c.window_rope = window_rope(f, c);
  hf::read_window_pattern(f, kPattern, c);
  return c;
}

void write_config(const DecoderConfig& c, JsonWriter& out) {
  hf::write_llama_like(c, out, false);
  out.field("attention_bias", c.qkv_bias);
  out.field("sliding_window", c.sliding_window);
  hf::write_rope_parameters(c, out);
  hf::write_layer_types(c, out);
}

}  // namespace

const Architecture& architecture() {
  static const Architecture kOlmo3{"olmo3", read_config, write_config, tensor_name,
                                   false,   "model.",    false,        {}};
  return kOlmo3;
}

}  // namespace nibble::olmo3
