// LFM2, mixtures of experts (Liquid AI 2025): experts are chosen by corrected sigmoids.
#include <algorithm>

#include "nibble/model/architecture.h"
#include "nibble/model/hf_experts.h"
#include "nibble/model/hf_lfm2.h"

namespace nibble::lfm2_moe {
namespace {

constexpr hf::NameRow kExperts[] = {{Role::router, "feed_forward.gate"},
                                    {Role::router_correction, "feed_forward.expert_bias", true},
                                    {Role::gate, "feed_forward.experts.{}.w1"},
                                    {Role::up, "feed_forward.experts.{}.w3"},
                                    {Role::down, "feed_forward.experts.{}.w2"}};

std::string tensor_name(const ParamKey& key) {
  const bool of_experts =
      key.expert >= 0 || key.role == Role::router || key.role == Role::router_correction;
  return of_experts ? hf::tensor_name(kExperts, "layers", key) : hf::lfm2_tensor_name(key);
}

DecoderConfig read_config(const JsonFields& f) {
  DecoderConfig c = hf::read_lfm2_like(f, "lfm2_moe", hf::size(f, "intermediate_size"));
  c.experts = hf::experts(f);
  c.experts_per_token = hf::size(f, "num_experts_per_tok");
  c.expert_size = hf::size(f, "moe_intermediate_size");
  c.router.sigmoid = true;
  c.router.correction = f.boolean_or("use_expert_bias", true);
  c.router.normalize = f.boolean_or("norm_topk_prob", true);
  c.router.floor = 1e-6;
  c.router.scale = hf::positive_or(f, "routed_scaling_factor", 1);
  const int64_t dense = f.integer_or("num_dense_layers", 2);
  for (int64_t i = 0; i < std::min(c.layers, kMostLayers); ++i)
    c.sparse.push_back(static_cast<uint8_t>(i >= dense));
  return c;
}

void write_config(const DecoderConfig& c, JsonWriter& out) {
  hf::write_lfm2_like(c, out);
  out.field("num_experts", c.experts);
  out.field("num_experts_per_tok", c.experts_per_token);
  out.field("moe_intermediate_size", expert_size(c));
  out.field("use_expert_bias", c.router.correction);
  out.field("norm_topk_prob", c.router.normalize);
  out.field("routed_scaling_factor", c.router.scale);
  out.field("num_dense_layers", std::count(c.sparse.begin(), c.sparse.end(), uint8_t{0}));
}

}  // namespace

const Architecture& architecture() {
  static constexpr Architecture kLfm2Moe{
      "lfm2_moe", read_config, write_config, tensor_name,
      false,      "model.",    false,        hf::kExpertTraining};
  return kLfm2Moe;
}

}  // namespace nibble::lfm2_moe
