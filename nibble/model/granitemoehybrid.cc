// Granite 4 (IBM 2025): Mamba2 in most layers, attention in the others, an MLP that every row goes
// to, with or without experts beside it, and the multipliers of Granite 3.
#include "nibble/model/architecture.h"
#include "nibble/model/hf_experts.h"
#include "nibble/model/hf_mamba.h"

namespace nibble::granitemoehybrid {
namespace {

constexpr hf::NameRow kNames[] = {{Role::router, "block_sparse_moe.router.layer"},
                                  {Role::shared_gate_up, "shared_mlp.input_linear"},
                                  {Role::shared_down, "shared_mlp.output_linear"}};
constexpr hf::NameRow kExperts[] = {{Role::gate, "block_sparse_moe.experts.{}.gate_proj"},
                                    {Role::up, "block_sparse_moe.experts.{}.up_proj"},
                                    {Role::down, "block_sparse_moe.experts.{}.down_proj"}};
constexpr hf::NameRow kDense[] = {{Role::gate_up, "shared_mlp.input_linear"},
                                  {Role::down, "shared_mlp.output_linear"}};
constexpr std::string_view kHarmless[] = {"output_router_logits",       "router_aux_loss_coef",
                                          "mamba_chunk_size",           "intermediate_size",
                                          "normalization_function",     "init_method",
                                          "embedding_initializer_range"};

std::string tensor_name(const ParamKey& key) {
  if (hf::has_row(kNames, key.role)) return hf::tensor_name(kNames, "layers", key);
  if (hf::has_row(hf::kMambaNames, key.role))
    return hf::tensor_name(hf::kMambaNames, "layers", key);
  if (key.expert >= 0) return hf::tensor_name(kExperts, "layers", key);
  return hf::tensor_name_or_llama(kDense, key);
}

DecoderConfig read_config(const JsonFields& f) {
  const int64_t experts = f.integer_or("num_local_experts", 8);
  DecoderConfig c =
      hf::read_llama_like(f, "granitemoehybrid", 10000, {},
                          experts == 0 ? "shared_intermediate_size" : "intermediate_size");
  if (f.string_or("position_embedding_type", "nope") != "rope") c.position = PositionKind::none;
  c.qkv_bias = c.o_bias = f.boolean_or("attention_bias", false);
  hf::read_granite_scales(f, c);
  c.fused_gate_up = true;
  if (experts != 0) {
    c.experts = hf::experts(f);
    c.experts_per_token = hf::size(f, "num_experts_per_tok");
    c.shared_size = hf::size(f, "shared_intermediate_size");
  } else {
    f.contains("num_experts_per_tok");
  }
  const int64_t expand = f.contains("mamba_expand") ? hf::size(f, "mamba_expand") : 2;
  hf::read_mamba(f, std::min<int64_t>(expand, 1 << 10) * std::min<int64_t>(c.hidden_size, 1 << 20),
                 c);
  c.mamba.out_bias = c.mamba.in_bias;
  hf::read_step_bounds(f, c);
  hf::read_mamba_kinds(f.strings("layer_types"), "layer_types", c);
  if (c.layer_kinds.empty()) hf::set_layer_kinds(c, [](int64_t) { return LayerKind::mamba; });
  return c;
}

void write_config(const DecoderConfig& c, JsonWriter& out) {
  hf::write_llama_like(c, out);
  out.field("attention_bias", c.qkv_bias);
  out.field("position_embedding_type", c.position == PositionKind::rotary ? "rope" : "nope");
  hf::write_granite_scales(c, out);
  out.field("num_local_experts", c.experts);
  if (c.experts > 0) out.field("num_experts_per_tok", c.experts_per_token);
  out.field("shared_intermediate_size", c.experts > 0 ? c.shared_size : c.intermediate_size);
  out.field("mamba_expand", c.mamba.width() / c.hidden_size);
  hf::write_mamba(c, out);
  hf::write_layer_types(c, out);
}

}  // namespace

const Architecture& architecture() {
  static const Architecture kGranite4{
      "granitemoehybrid", read_config, write_config, tensor_name, false,
      "model.",           false,       kHarmless,    nullptr,     Stacking::linears};
  return kGranite4;
}

}  // namespace nibble::granitemoehybrid
