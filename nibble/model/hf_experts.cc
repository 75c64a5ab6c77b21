#include "nibble/model/hf_experts.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

namespace nibble::hf {
namespace {

int64_t counted(const DecoderConfig& c) { return std::min(c.layers, kMostLayers); }

// Layers without experts come first.
void set_dense_begin(int64_t dense, DecoderConfig& c) {
  c.sparse.clear();
  for (int64_t i = 0; i < counted(c); ++i) c.sparse.push_back(static_cast<uint8_t>(i >= dense));
}

void read_layer_mlps(const JsonFields& f, int64_t dense, DecoderConfig& c) {
  const std::vector<std::string> types = f.strings("mlp_layer_types");
  if (types.empty()) return set_dense_begin(f.integer_or("first_k_dense_replace", dense), c);
  c.sparse.clear();
  for (const std::string& type : types) {
    if (type != "dense" && type != "sparse")
      throw unsupported(
          fmt::format("a layer's MLP is {} (expected dense or sparse)", in_quotes(type)))
          .at(at_key("mlp_layer_types"));
    c.sparse.push_back(static_cast<uint8_t>(type == "sparse"));
  }
}

}  // namespace

std::string expert_tensor_name(std::initializer_list<std::span<const NameRow>> tables,
                               const ParamKey& key) {
  const bool dense = key.expert < 0 && has_row(kExpertNames, key.role) && key.role != Role::router;
  for (const std::span<const NameRow> names : tables) {
    if (!dense && has_row(names, key.role)) return tensor_name(names, "layers", key);
  }
  return llama_tensor_name(key);
}

int64_t experts(const JsonFields& f) {
  std::optional<int64_t> out;
  for (const std::string_view key : {"num_experts", "num_local_experts", "n_routed_experts"}) {
    if (!f.contains(key) || f.is_null(key)) continue;
    const int64_t value = size(f, key);
    if (out && *out != value)
      throw corrupt(fmt::format("is {} and another key says {} experts", value, *out))
          .at(at_key(key));
    out = value;
  }
  return out ? *out : size(f, "num_experts");
}

int64_t shared_size(const JsonFields& f, std::string_view key, int64_t otherwise, int64_t width) {
  constexpr int64_t kMost = 1 << 10;
  const int64_t count = f.integer_or(key, otherwise);
  if (count >= 0 && count <= kMost) return count * width;
  throw corrupt(fmt::format("must be between 0 and {} (got {})", kMost, count)).at(at_key(key));
}

void read_qwen_experts(const JsonFields& f, bool normalize, DecoderConfig& c) {
  c.experts = experts(f);
  c.experts_per_token = size(f, "num_experts_per_tok");
  c.expert_size = size(f, "moe_intermediate_size");
  c.router.normalize = f.boolean_or("norm_topk_prob", normalize);
  const int64_t every = f.contains("decoder_sparse_step") ? size(f, "decoder_sparse_step") : 1;
  const std::vector<int64_t> dense = f.integers("mlp_only_layers");
  c.sparse.clear();
  for (int64_t i = 0; i < counted(c); ++i) {
    const bool named = std::find(dense.begin(), dense.end(), i) != dense.end();
    c.sparse.push_back(static_cast<uint8_t>(!named && (i + 1) % every == 0));
  }
}

void write_qwen_experts(const DecoderConfig& c, JsonWriter& out) {
  out.field("num_experts", c.experts);
  out.field("num_experts_per_tok", c.experts_per_token);
  out.field("moe_intermediate_size", expert_size(c));
  out.field("norm_topk_prob", c.router.normalize);
  out.field("decoder_sparse_step", 1);
  out.key("mlp_only_layers").begin_array();
  for (size_t i = 0; i < c.sparse.size(); ++i) {
    if (c.sparse[i] == 0) out.value(static_cast<int64_t>(i));
  }
  out.end_array();
}

void read_gated_expert(const JsonFields& f, DecoderConfig& c) {
  c.shared_size = size(f, "shared_expert_intermediate_size");
  c.shared_gate = true;
}

void write_gated_expert(const DecoderConfig& c, JsonWriter& out) {
  out.field("shared_expert_intermediate_size", c.shared_size);
}

void read_deepseek_mixture(const JsonFields& f, const MixtureDefaults& otherwise,
                           DecoderConfig& c) {
  if (f.integer_or("moe_layer_freq", 1) != 1)
    throw unsupported("experts in some of the layers only cannot be run")
        .at(at_key("moe_layer_freq"));
  c.experts = experts(f);
  c.experts_per_token = size(f, "num_experts_per_tok");
  c.expert_size = size(f, "moe_intermediate_size");
  c.shared_size = shared_size(f, "n_shared_experts", otherwise.shared, c.expert_size);
  c.router.scale = positive_or(f, "routed_scaling_factor", 1);
  read_layer_mlps(f, otherwise.dense, c);
}

void read_deepseek_experts(const JsonFields& f, int64_t dense, DecoderConfig& c) {
  require_text(f, "scoring_func", "sigmoid");
  require_text(f, "topk_method", "noaux_tc");
  read_deepseek_mixture(f, {.dense = dense}, c);
  RouterConfig& r = c.router;
  r.sigmoid = r.correction = r.best_two = true;
  r.normalize = f.boolean_or("norm_topk_prob", true);
  r.floor = 1e-20;
  r.groups = f.integer_or("n_group", 1);
  r.groups_chosen = f.integer_or("topk_group", r.groups);
}

void write_deepseek_experts(const DecoderConfig& c, JsonWriter& out) {
  out.field("n_routed_experts", c.experts);
  out.field("num_experts_per_tok", c.experts_per_token);
  out.field("moe_intermediate_size", expert_size(c));
  out.field("n_shared_experts", c.shared_size / expert_size(c));
  out.field("norm_topk_prob", c.router.normalize);
  out.field("routed_scaling_factor", c.router.scale);
  out.field("n_group", c.router.groups).field("topk_group", c.router.groups_chosen);
  out.field("first_k_dense_replace", std::count(c.sparse.begin(), c.sparse.end(), uint8_t{0}));
  out.key("mlp_layer_types").begin_array();
  for (const uint8_t sparse : c.sparse) out.value(sparse != 0 ? "sparse" : "dense");
  out.end_array();
}

}  // namespace nibble::hf
