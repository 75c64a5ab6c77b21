// Qwen3, mixtures of experts (Yang et al. 2025).
#include "nibble/model/architecture.h"
#include "nibble/model/hf_experts.h"

namespace nibble::qwen3_moe {
namespace {

std::string tensor_name(const ParamKey& key) {
  return hf::expert_tensor_name({hf::kExpertNames}, key);
}

DecoderConfig read_config(const JsonFields& f) {
  DecoderConfig c = hf::read_llama_like(f, "qwen3_moe");
  c.qk_norm = QkNorm::heads;
  c.qkv_bias = c.o_bias = f.boolean_or("attention_bias", false);
  hf::read_qwen_experts(f, false, c);
  hf::read_upper_window(f, c);
  return c;
}

void write_config(const DecoderConfig& c, JsonWriter& out) {
  hf::write_llama_like(c, out);
  out.field("attention_bias", c.qkv_bias);
  hf::write_qwen_experts(c, out);
  hf::write_upper_window(c, out);
}

}  // namespace

const Architecture& architecture() {
  static const Architecture kQwen3Moe{"qwen3_moe", read_config, write_config, tensor_name,
                                      false,       "model.",    false,        hf::kExpertTraining};
  return kQwen3Moe;
}

}  // namespace nibble::qwen3_moe
