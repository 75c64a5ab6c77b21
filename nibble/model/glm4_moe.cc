// GLM-4.5 and 4.6 (Z.ai 2025): experts chosen by corrected sigmoids, beside one that every token
// goes to; rotary positions in half of each head.
#include "nibble/model/architecture.h"
#include "nibble/model/hf_experts.h"

namespace nibble::glm4_moe {
namespace {

std::string tensor_name(const ParamKey& key) {
  return hf::expert_tensor_name({hf::kCorrectionNames, hf::kExpertNames, hf::kSharedExpertNames},
                                key);
}

DecoderConfig read_config(const JsonFields& f) {
  DecoderConfig c = hf::read_llama_like(f, "glm4_moe", 10000, {.parts = true, .part = 0.5});
  c.norm_eps = hf::positive_or(f, "rms_norm_eps", 1e-5);
  c.qkv_bias = f.boolean_or("attention_bias", false);
  if (f.boolean_or("use_qk_norm", false)) c.qk_norm = QkNorm::heads;
  hf::read_deepseek_experts(f, 1, c);
  return c;
}

void write_config(const DecoderConfig& c, JsonWriter& out) {
  hf::write_llama_like(c, out);
  if (c.rope.part == 1) out.field("partial_rotary_factor", 1.0);
  out.field("attention_bias", c.qkv_bias);
  out.field("use_qk_norm", c.qk_norm == QkNorm::heads);
  hf::write_deepseek_experts(c, out);
}

}  // namespace

const Architecture& architecture() {
  static const Architecture kGlm4Moe{"glm4_moe", read_config, write_config, tensor_name,
                                     false,      "model.",    false,        hf::kExpertTraining};
  return kGlm4Moe;
}

}  // namespace nibble::glm4_moe
