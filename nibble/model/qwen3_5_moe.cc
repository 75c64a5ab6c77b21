// Qwen3.5, mixtures of experts (Qwen Team 2026).
#include "nibble/model/architecture.h"
#include "nibble/model/hf_experts.h"
#include "nibble/model/hf_qwen_hybrid.h"

namespace nibble::qwen3_5_moe {
namespace {

std::string tensor_name(const ParamKey& key) {
  return hf::expert_tensor_name({hf::kDeltaNames, hf::kExpertNames, hf::kGatedExpertNames}, key);
}

DecoderConfig read_config(const JsonFields& f) {
  DecoderConfig c = hf::read_qwen_hybrid(f, "qwen3_5_moe_text", "moe_intermediate_size");
  hf::read_qwen_experts(f, true, c);
  c.router.normalize = true;
  hf::read_gated_expert(f, c);
  return c;
}

void write_config(const DecoderConfig& c, JsonWriter& out) {
  hf::write_qwen_hybrid(c, out);
  hf::write_qwen_experts(c, out);
  hf::write_gated_expert(c, out);
}

}  // namespace

const Architecture& architecture() {
  static const Architecture kQwen35Moe{
      "qwen3_5_moe_text", read_config, write_config,   tensor_name, false,
      "model.",           false,       hf::kQwenHybrid};
  return kQwen35Moe;
}

}  // namespace nibble::qwen3_5_moe
