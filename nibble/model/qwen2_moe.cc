// Qwen1.5 and 2, mixtures of experts (Yang et al. 2024): beside those chosen an expert that every
// token goes to, by as much as a gate says.
#include "nibble/model/architecture.h"
#include "nibble/model/hf_experts.h"

namespace nibble::qwen2_moe {
namespace {

std::string tensor_name(const ParamKey& key) {
  return hf::expert_tensor_name({hf::kExpertNames, hf::kGatedExpertNames}, key);
}

DecoderConfig read_config(const JsonFields& f) {
  DecoderConfig c = hf::read_llama_like(f, "qwen2_moe");
  c.qkv_bias = f.boolean_or("qkv_bias", true);
  hf::read_qwen_experts(f, false, c);
  hf::read_gated_expert(f, c);
  hf::read_upper_window(f, c);
  return c;
}

void write_config(const DecoderConfig& c, JsonWriter& out) {
  hf::write_llama_like(c, out);
  out.field("qkv_bias", c.qkv_bias);
  hf::write_qwen_experts(c, out);
  hf::write_gated_expert(c, out);
  hf::write_upper_window(c, out);
}

}  // namespace

const Architecture& architecture() {
  static const Architecture kQwen2Moe{"qwen2_moe", read_config, write_config, tensor_name,
                                      false,       "model.",    false,        hf::kExpertTraining};
  return kQwen2Moe;
}

}  // namespace nibble::qwen2_moe
