// Qwen3-Next (Qwen Team 2025): gated DeltaNet and gated attention, mixtures of experts; a
// DeltaNet's projections stand key head by key head.
#include "nibble/model/architecture.h"
#include "nibble/model/hf_experts.h"
#include "nibble/model/hf_qwen_hybrid.h"

namespace nibble::qwen3_next {
namespace {

constexpr hf::NameRow kNames[] = {{Role::delta_decay, "linear_attn.A_log", true},
                                  {Role::delta_decay_bias, "linear_attn.dt_bias", true},
                                  {Role::conv, "linear_attn.conv1d"},
                                  {Role::delta_norm, "linear_attn.norm"},
                                  {Role::delta_out, "linear_attn.out_proj"},
                                  {Role::delta_qkv, "linear_attn.in_proj_qkvz"},
                                  {Role::delta_b, "linear_attn.in_proj_ba"},
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
  DecoderConfig c = hf::read_qwen_hybrid(f, "qwen3_next");
  c.delta.by_head = true;
  hf::read_qwen_experts(f, true, c);
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
  static const Architecture kQwen3Next{"qwen3_next", read_config, write_config, tensor_name,
                                       false,        "model.",    false,        hf::kQwenHybrid};
  return kQwen3Next;
}

}  // namespace nibble::qwen3_next
