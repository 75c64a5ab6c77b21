// Qwen3.5, mixtures of experts (Qwen Team 2026).
#include "nibble/model/architecture.h"
#include "nibble/model/hf_experts.h"
#include "nibble/model/hf_qwen_hybrid.h"

namespace nibble::qwen3_5_moe {
namespace {

constexpr hf::NameRow kNames[] = {{Role::delta_decay, "linear_attn.A_log", true},
                                  {Role::delta_decay_bias, "linear_attn.dt_bias", true},
                                  {Role::conv, "linear_attn.conv1d"},
                                  {Role::delta_norm, "linear_attn.norm"},
                                  {Role::delta_out, "linear_attn.out_proj"},
                                  {Role::delta_qkv, "linear_attn.in_proj_qkv"},
                                  {Role::delta_z, "linear_attn.in_proj_z"},
                                  {Role::delta_b, "linear_attn.in_proj_b"},
                                  {Role::delta_a, "linear_attn.in_proj_a"},
                                  {Role::router, "mlp.gate"},
                                  {Role::gate, "mlp.experts.{}.gate_proj"},
                                  {Role::up, "mlp.experts.{}.up_proj"},
                                  {Role::down, "mlp.experts.{}.down_proj"},
                                  {Role::shared_router, "mlp.shared_expert_gate"},
                                  {Role::shared_gate, "mlp.shared_expert.gate_proj"},
                                  {Role::shared_up, "mlp.shared_expert.up_proj"},
                                  {Role::shared_down, "mlp.shared_expert.down_proj"}};

std::string tensor_name(const ParamKey& key) { return hf::expert_tensor_name(kNames, key); }

DecoderConfig read_config(const JsonFields& f) {
  DecoderConfig c = hf::read_qwen_hybrid(f, "qwen3_5_moe_text", "moe_intermediate_size");
  hf::read_qwen_experts(f, true, c);
  c.router.normalize = true;
  c.shared_size = hf::size(f, "shared_expert_intermediate_size");
  c.shared_gate = true;
  return c;
}

void write_config(const DecoderConfig& c, JsonWriter& out) {
  hf::write_qwen_hybrid(c, out);
  hf::write_qwen_experts(c, out);
  out.field("shared_expert_intermediate_size", c.shared_size);
}

}  // namespace

const Architecture& architecture() {
  static const Architecture kQwen35Moe{
      "qwen3_5_moe_text", read_config, write_config,   tensor_name, false,
      "model.",           false,       hf::kQwenHybrid};
  return kQwen35Moe;
}

}  // namespace nibble::qwen3_5_moe
