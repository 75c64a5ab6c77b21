#include "nibble/model/gguf_names.h"

#include <fmt/format.h>

#include <algorithm>

namespace nibble {
namespace {

struct GgufNameRow {
  Role role;
  std::string_view name;
};
constexpr GgufNameRow kGgufNames[] = {
    {Role::token_embedding, "token_embd"},
    {Role::position_embedding, "position_embd"},
    {Role::attn_norm, "attn_norm"},
    {Role::qkv, "attn_qkv"},
    {Role::q, "attn_q"},
    {Role::k, "attn_k"},
    {Role::v, "attn_v"},
    {Role::q_norm, "attn_q_norm"},
    {Role::k_norm, "attn_k_norm"},
    {Role::o, "attn_output"},
    {Role::post_attn_norm, "post_attention_norm"},
    {Role::mlp_norm, "ffn_norm"},
    {Role::router, "ffn_gate_inp"},
    {Role::gate, "ffn_gate"},
    {Role::up, "ffn_up"},
    {Role::down, "ffn_down"},
    {Role::post_mlp_norm, "post_ffw_norm"},
    {Role::final_norm, "output_norm"},
    {Role::lm_head, "output"},
};

std::string with_end(const ParamKey& key, std::string_view end) {
  for (const GgufNameRow& r : kGgufNames) {
    if (r.role != key.role) continue;
    const std::string_view stack = key.expert >= 0 ? "_exps" : "";
    return key.layer < 0 ? fmt::format("{}.{}", r.name, end)
                         : fmt::format("blk.{}.{}{}.{}", key.layer, r.name, stack, end);
  }
  return "";
}

}  // namespace

std::string gguf_name(const ParamKey& key) { return with_end(key, key.bias ? "bias" : "weight"); }
std::string gguf_scale_name(const ParamKey& key) { return with_end(key, "scale"); }
std::string gguf_input_scale_name(const ParamKey& key) { return with_end(key, "input_scale"); }

GgufRows gguf_rows(const ParamSpec& spec, const GgufArchitecture& architecture, int64_t head_dim) {
  GgufRows out;
  out.count = spec.shape.rank() == 0 ? 1 : spec.shape[0];
  out.begin = std::max(spec.expert, 0) * out.count;
  const bool turned = spec.role == Role::q || spec.role == Role::k;
  if (architecture.paired_heads && turned) out.paired_head = head_dim;
  return out;
}

}  // namespace nibble
