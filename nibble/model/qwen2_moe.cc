// Qwen1.5 and 2, mixtures of experts (Yang et al. 2024): beside those chosen an expert that every
// token goes to, by as much as a gate says.
#include "nibble/model/architecture.h"
#include "nibble/model/hf_experts.h"

namespace nibble::qwen2_moe {
namespace {

constexpr hf::NameRow kNames[] = {{Role::router, "mlp.gate"},
                                  {Role::gate, "mlp.experts.{}.gate_proj"},
                                  {Role::up, "mlp.experts.{}.up_proj"},
                                  {Role::down, "mlp.experts.{}.down_proj"},
                                  {Role::shared_router, "mlp.shared_expert_gate"},
                                  {Role::shared_gate, "mlp.shared_expert.gate_proj"},
                                  {Role::shared_up, "mlp.shared_expert.up_proj"},
                                  {Role::shared_down, "mlp.shared_expert.down_proj"}};

std::string tensor_name(const ParamKey& key) { return hf::expert_tensor_name(kNames, key); }

DecoderConfig read_config(const JsonFields& f) {
  DecoderConfig c = hf::read_llama_like(f, "qwen2_moe");
  c.qkv_bias = f.boolean_or("qkv_bias", true);
  hf::read_qwen_experts(f, false, c);
  c.shared_size = hf::size(f, "shared_expert_intermediate_size");
  c.shared_gate = true;
  hf::read_upper_window(f, c);
  return c;
}

void write_config(const DecoderConfig& c, JsonWriter& out) {
  hf::write_llama_like(c, out);
  out.field("qkv_bias", c.qkv_bias);
  hf::write_qwen_experts(c, out);
  out.field("shared_expert_intermediate_size", c.shared_size);
  hf::write_upper_window(c, out);
}

}  // namespace

const Architecture& architecture() {
  static const Architecture kQwen2Moe{"qwen2_moe", read_config, write_config, tensor_name,
                                      false,       "model.",    false,        hf::kExpertTraining};
  return kQwen2Moe;
}

}  // namespace nibble::qwen2_moe
