// ERNIE 4.5, mixtures of experts (Baidu 2025): experts are chosen by corrected probabilities,
// beside some that every token goes to.
#include <algorithm>
#include <vector>

#include "nibble/model/architecture.h"
#include "nibble/model/hf_experts.h"

namespace nibble::ernie4_5_moe {
namespace {

constexpr hf::NameRow kCorrection[] = {
    {Role::router_correction, "mlp.moe_statics.e_score_correction_bias", true}};

std::string tensor_name(const ParamKey& key) {
  return hf::expert_tensor_name({kCorrection, hf::kExpertNames, hf::kSharedExpertNames}, key);
}

constexpr double kTheta = 500000;
constexpr std::string_view kHarmless[] = {"router_aux_loss_coef", "output_router_logits",
                                          "moe_capacity", "moe_gate", "moe_use_aux_free"};

// Layers from moe_layer_start_index to moe_layer_end_index (-1: the last), every
// moe_layer_interval-th.
void read_sparse(const JsonFields& f, DecoderConfig& c) {
  const int64_t first = f.integer_or("moe_layer_start_index", 1),
                given = f.integer_or("moe_layer_end_index", -1),
                every = f.contains("moe_layer_interval") ? hf::size(f, "moe_layer_interval") : 1,
                last = given < 0 ? c.layers - 1 : given;
  for (int64_t i = 0; i < std::min(c.layers, kMostLayers); ++i)
    c.sparse.push_back(static_cast<uint8_t>((i + 1) % every == 0 && first <= i && i <= last));
}

// The first and the last layer that has experts, and how far apart they are.
void write_sparse(const DecoderConfig& c, JsonWriter& out) {
  std::vector<int64_t> layers;
  for (size_t i = 0; i < c.sparse.size(); ++i) {
    if (c.sparse[i] != 0) layers.push_back(static_cast<int64_t>(i));
  }
  const bool any = !layers.empty();
  out.field("moe_layer_start_index", any ? layers.front() : c.layers);
  out.field("moe_layer_end_index", any ? layers.back() : c.layers);
  out.field("moe_layer_interval", layers.size() > 1 ? layers[1] - layers[0] : 1);
}

DecoderConfig read_config(const JsonFields& f) {
  hf::require_flag(f, "use_bias", false);
  DecoderConfig c = hf::read_llama_like(f, "ernie4_5_moe", kTheta, {.neighbours = true});
  c.norm_eps = hf::positive_or(f, "rms_norm_eps", 1e-5);
  c.tied = f.boolean_or("tie_word_embeddings", true);
  c.experts = hf::size(f, "moe_num_experts");
  c.experts_per_token = hf::size(f, "moe_k");
  c.expert_size = hf::size(f, "moe_intermediate_size");
  c.shared_size = hf::shared_size(f, "moe_num_shared_experts", 2, c.expert_size);
  c.router.correction = c.router.correction_row = true;
  // Less than any sum of probabilities of experts that were chosen.
  if (hf::positive_or(f, "moe_norm_min", 1e-12) > 1e-6)
    throw unsupported("is too much to be left out").at(hf::at_key("moe_norm_min"));
  read_sparse(f, c);
  return c;
}

void write_config(const DecoderConfig& c, JsonWriter& out) {
  hf::write_llama_like(c, out);
  out.field("moe_num_experts", c.experts);
  out.field("moe_k", c.experts_per_token);
  out.field("moe_intermediate_size", expert_size(c));
  out.field("moe_num_shared_experts", c.shared_size / expert_size(c));
  write_sparse(c, out);
}

}  // namespace

const Architecture& architecture() {
  static const Architecture kErnie45Moe{"ernie4_5_moe", read_config, write_config, tensor_name,
                                        false,          "model.",    false,        kHarmless};
  return kErnie45Moe;
}

}  // namespace nibble::ernie4_5_moe
