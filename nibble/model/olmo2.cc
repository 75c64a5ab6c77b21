// OLMo 2 (Walsh et al. 2024): norms behind each half of a layer and none before, and one of all of
// a row's queries, one of its keys.
#include "nibble/model/architecture.h"
#include "nibble/model/hf_config.h"

namespace nibble::olmo2 {
namespace {

constexpr hf::NameRow kNames[] = {{Role::post_attn_norm, "post_attention_layernorm"},
                                  {Role::post_mlp_norm, "post_feedforward_layernorm"}};

std::string tensor_name(const ParamKey& key) { return hf::tensor_name_or_llama(kNames, key); }

DecoderConfig read_config(const JsonFields& f) {
  DecoderConfig c = hf::read_llama_like(f, "olmo2");
  c.norm_eps = hf::positive_or(f, "rms_norm_eps", 1e-5);
  c.qkv_bias = c.o_bias = f.boolean_or("attention_bias", false);
  c.pre_norms = false;
  c.post_norms = true;
  c.qk_norm = QkNorm::rows;
  return c;
}

void write_config(const DecoderConfig& c, JsonWriter& out) {
  hf::write_llama_like(c, out);
  out.field("attention_bias", c.qkv_bias);
}

}  // namespace

const Architecture& architecture() {
  static const Architecture kOlmo2{"olmo2", read_config, write_config, tensor_name,
                                   false,   "model.",    false,        {}};
  return kOlmo2;
}

}  // namespace nibble::olmo2
