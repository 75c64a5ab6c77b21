// Qwen3-Next (Qwen Team 2025): gated DeltaNet and gated attention, mixtures of experts; a
// DeltaNet's projections stand key head by key head.
#include "nibble/model/architecture.h"
#include "nibble/model/hf_experts.h"
#include "nibble/model/hf_qwen_hybrid.h"

namespace nibble::qwen3_next {
namespace {

// Fewer projections than Qwen3.5 has.
constexpr hf::NameRow kProjections[] = {{Role::delta_qkv, "linear_attn.in_proj_qkvz"},
                                        {Role::delta_b, "linear_attn.in_proj_ba"}};

std::string tensor_name(const ParamKey& key) {
  return hf::expert_tensor_name(
      {kProjections, hf::kDeltaNames, hf::kExpertNames, hf::kGatedExpertNames}, key);
}

DecoderConfig read_config(const JsonFields& f) {
  DecoderConfig c = hf::read_qwen_hybrid(f, "qwen3_next");
  c.delta.by_head = true;
  hf::read_qwen_experts(f, true, c);
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
  static const Architecture kQwen3Next{"qwen3_next", read_config, write_config, tensor_name,
                                       false,        "model.",    false,        hf::kQwenHybrid};
  return kQwen3Next;
}

}  // namespace nibble::qwen3_next
