// Gemma 4 (Gemma Team 2026), models without embeddings for each layer (26B-A4B): layers that see
// all positions have heads of their own, values have a norm, experts stand beside a dense MLP.
#include <fmt/format.h>

#include <cmath>

#include "nibble/model/architecture.h"
#include "nibble/model/hf_experts.h"
#include "nibble/model/hf_gemma.h"

namespace nibble::gemma4 {
namespace {

constexpr hf::NameRow kNames[] = {{Role::layer_scale, "layer_scalar", true},
                                  {Role::router, "router.proj"},
                                  {Role::router_norm, "router.scale", true},
                                  {Role::expert_scale, "router.per_expert_scale", true},
                                  {Role::experts_norm, "pre_feedforward_layernorm_2"},
                                  {Role::post_dense_norm, "post_feedforward_layernorm_1"},
                                  {Role::post_experts_norm, "post_feedforward_layernorm_2"}};
constexpr hf::NameRow kExperts[] = {{Role::gate, "experts.{}.gate_proj"},
                                    {Role::up, "experts.{}.up_proj"},
                                    {Role::down, "experts.{}.down_proj"}};

std::string tensor_name(const ParamKey& key) {
  if (key.expert >= 0) return hf::tensor_name(kExperts, "layers", key);
  return hf::has_row(kNames, key.role) ? hf::tensor_name(kNames, "layers", key)
                                       : hf::gemma_tensor_name(key);
}

constexpr std::string_view kLayers = "per_layer_config";
constexpr double kTheta = 1e6, kLocalTheta = 1e4, kPart = 0.25;
constexpr int64_t kPattern = 6, kWindow = 512, kKvHeads = 4, kHeadDim = 256, kGlobalHeadDim = 512;

void refuse_above(const JsonFields& f, std::string_view key, int64_t otherwise,
                  std::string_view what) {
  const int64_t found = f.integer_or(key, otherwise);
  if (found == 0) return;
  throw unsupported(fmt::format("is {}: {} cannot be run yet (expected 0)", found, what))
      .at(hf::at_key(key));
}

void refuse_unknown(const JsonFields& f) {
  refuse_above(f, "hidden_size_per_layer_input", kHeadDim, "embeddings of each layer");
  refuse_above(f, "num_kv_shared_layers", 0, "keys and values of an earlier layer");
  f.boolean_or("use_double_wide_mlp", false);  // of layers that share keys and values
  if (f.string_or("use_bidirectional_attention", "vision") == "vision") return;
  throw unsupported("attention that sees what comes later cannot be run")
      .at(hf::at_key("use_bidirectional_attention"));
}

HeadsConfig global_heads(const JsonFields& f, const DecoderConfig& c) {
  HeadsConfig h{c.kv_heads, f.integer_or("global_head_dim", kGlobalHeadDim)};
  const int64_t kv = f.integer_or("num_global_key_value_heads", c.kv_heads);
  if (c.values_are_keys) h.kv_heads = kv;
  return h;
}

// What transformers from 5.17 on says of single layers, instead of global_head_dim and
// num_global_key_value_heads: here it may be said of layers that see all positions, of all alike.
HeadsConfig own_heads(const JsonFields& f, const DecoderConfig& c) {
  std::optional<HeadsConfig> full;
  const HeadsConfig usual{c.kv_heads, c.head_dim};
  for (int64_t i = 0; i < std::min(c.layers, kMostLayers); ++i) {
    const std::string at = fmt::format("{}.{}.", kLayers, i);
    const HeadsConfig own{f.integer_or(at + "num_key_value_heads", usual.kv_heads),
                          f.integer_or(at + "head_dim", usual.head_dim)};
    const bool is_full =
        i < std::ssize(c.layer_kinds) && c.layer_kinds[static_cast<size_t>(i)] == LayerKind::full;
    if (is_full && !full) full = own;
    if (own == (is_full ? *full : usual)) continue;
    throw unsupported(fmt::format("layer {} has heads that others of its kind do not have", i))
        .at(hf::at_key(kLayers));
  }
  for (const std::string& key : f.unread()) {
    if (key.starts_with(fmt::format("{}.", kLayers)))
      throw unsupported("cannot be said of a single layer").at(hf::at_key(key));
  }
  return full.value_or(usual);
}

void read_heads(const JsonFields& f, DecoderConfig& c) {
  c.values_are_keys = f.boolean_or("attention_k_eq_v", false);
  const HeadsConfig global = global_heads(f, c);
  c.full_heads = f.has_section(kLayers) ? own_heads(f, c) : global;
}

void read_experts(const JsonFields& f, DecoderConfig& c) {
  const bool on = f.boolean_or("enable_moe_block", false);
  for (const char* key : {"num_experts", "top_k_experts", "moe_intermediate_size"}) {
    if (!on && f.contains(key) && !f.is_null(key)) f.integer(key);
  }
  if (!on) return;
  c.experts = hf::size(f, "num_experts");
  c.experts_per_token = hf::size(f, "top_k_experts");
  c.expert_size = hf::size(f, "moe_intermediate_size");
  c.dense_beside = c.router.own_norm = c.router.expert_scale = true;
  c.router.logit_scale = 1 / std::sqrt(static_cast<double>(c.hidden_size));
}

RopeConfig full_rope(const JsonFields& f, const DecoderConfig& c) {
  if (f.has_section("rope_parameters"))
    return hf::read_rope(f, kTheta, c.context,
                         {.parts = true, .part = 1, .layers = "full_attention"});
  RopeConfig r;
  r.theta = kTheta;
  r.scaling = RopeScaling::proportional;
  r.part = kPart;
  return r;
}

// The last layer sees all positions, whatever the list says.
void read_kinds(const JsonFields& f, DecoderConfig& c) {
  hf::read_window_pattern(f, kPattern, c);
  if (!f.contains("sliding_window")) c.sliding_window = kWindow;
  if (!c.layer_kinds.empty()) c.layer_kinds.back() = LayerKind::full;
}

DecoderConfig read_config(const JsonFields& f) {
  refuse_unknown(f);
  DecoderConfig c =
      hf::read_llama_like(f, "gemma4_text", kTheta, {.parts = true, .layers = "full_attention"});
  if (!f.contains("num_key_value_heads")) c.kv_heads = kKvHeads;
  c.head_dim = f.integer_or("head_dim", kHeadDim);
  c.mlp = hf::activation(f, "hidden_activation", "gelu_pytorch_tanh", true);
  c.qkv_bias = c.o_bias = f.boolean_or("attention_bias", false);
  c.tied = f.boolean_or("tie_word_embeddings", true);
  c.post_norms = c.layer_scale = c.v_norm = true;
  c.qk_norm = QkNorm::heads;
  c.attention_scale = 1;
  c.embedding_scale = hf::gemma_embedding_scale(f, c.hidden_size);
  c.final_softcap = hf::read_cap(f, "final_logit_softcapping", 0);
  read_kinds(f, c);
  c.rope = full_rope(f, c);
  c.window_rope = f.has_section("rope_parameters.sliding_attention")
                      ? hf::read_rope(f, kLocalTheta, c.context, {.layers = "sliding_attention"})
                      : RopeConfig{};
  read_heads(f, c);
  read_experts(f, c);
  return c;
}

// In both ways, so that every release of transformers finds its own.
void write_heads(const DecoderConfig& c, JsonWriter& out) {
  const HeadsConfig& h = *c.full_heads;
  out.field("attention_k_eq_v", c.values_are_keys);
  out.field("global_head_dim", h.head_dim);
  if (c.values_are_keys) out.field("num_global_key_value_heads", h.kv_heads);
  out.key(kLayers).begin_object();
  for (size_t i = 0; i < c.layer_kinds.size(); ++i) {
    if (c.layer_kinds[i] != LayerKind::full) continue;
    out.key(std::to_string(i)).begin_object();
    out.field("head_dim", h.head_dim).field("num_key_value_heads", h.kv_heads).end_object();
  }
  out.end_object();
}

void write_config(const DecoderConfig& c, JsonWriter& out) {
  hf::write_llama_like(c, out, false);
  hf::write_rope_parameters(c, out);
  out.field("hidden_activation", hf::activation_name(c.mlp));
  out.field("attention_bias", c.qkv_bias);
  hf::write_cap("final_logit_softcapping", c.final_softcap, out);
  out.field("hidden_size_per_layer_input", 0).field("num_kv_shared_layers", 0);
  out.field("sliding_window", c.sliding_window);
  hf::write_layer_types(c, out);
  write_heads(c, out);
  out.field("enable_moe_block", c.experts > 0);
  if (c.experts == 0) return;
  out.field("num_experts", c.experts).field("top_k_experts", c.experts_per_token);
  out.field("moe_intermediate_size", c.expert_size);
}

constexpr std::string_view kHarmless[] = {"vocab_size_per_layer_input", "cache_implementation"};

}  // namespace

const Architecture& architecture() {
  static const Architecture kGemma4{"gemma4_text", read_config,   write_config, tensor_name,
                                    false,         "model.",      false,        kHarmless,
                                    nullptr,       Stacking::rows};
  return kGemma4;
}

}  // namespace nibble::gemma4
