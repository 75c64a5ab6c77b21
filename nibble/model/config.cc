#include "nibble/model/config.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "nibble/model/architecture.h"
#include "nibble/model/layer_plan.h"

namespace nibble {
namespace {

class TableBuilder {
 public:
  explicit TableBuilder(const DecoderConfig& c) : c_(c), names_(architecture(c.architecture)) {}

  std::vector<ParamSpec> build() {
    matrix(Role::token_embedding, c_.vocab_size, c_.hidden_size);
    if (c_.position == PositionKind::learned) {
      matrix(Role::position_embedding, c_.context + c_.position_offset, c_.hidden_size);
    }
    if (!c_.tied) matrix(Role::lm_head, c_.vocab_size, c_.hidden_size);
    if (c_.embedding_norm) norm(Role::embedding_norm);
    for (int layer = 0; layer < c_.layers; ++layer) {
      for (PlannedParameter& p : parameters_of(layer_plan(c_, layer), layer))
        add(p.key, std::move(p.shape));
    }
    if (c_.final_norm) norm(Role::final_norm);
    return std::move(table_);
  }

 private:
  void matrix(Role role, int64_t n, int64_t k) { add({role}, Shape{n, k}); }

  void norm(Role role) {
    if (c_.norm_gain) add({role}, Shape{c_.hidden_size});
    if (c_.norm_bias) add(ParamKey{role}.with_bias(true), Shape{c_.hidden_size});
  }

  void add(const ParamKey& key, Shape shape) {
    ParamSpec spec{key, {}, std::move(shape)};
    spec.name = (key.role == Role::lm_head ? "" : c_.name_prefix) + names_.tensor_name(key);
    spec.transposed = names_.conv1d && key.layer >= 0 && spec.is_matrix();
    if (is_gain(spec)) spec.offset = c_.norm_offset;
    if (key.expert >= 0) spec.stacking = names_.stacking;
    table_.push_back(std::move(spec));
  }

  // Of a norm that reads the stream, or queries or keys.
  static bool is_gain(const ParamSpec& p) {
    constexpr Role kOthers[] = {
        Role::delta_decay, Role::delta_decay_bias, Role::delta_norm,  Role::router_correction,
        Role::sinks,       Role::expert_scale,     Role::layer_scale, Role::mamba_skip,
        Role::mamba_norm};
    const bool other =
        std::find(std::begin(kOthers), std::end(kOthers), p.role) != std::end(kOthers);
    return p.shape.rank() == 1 && !p.bias && !other;
  }

  const DecoderConfig& c_;
  const Architecture& names_;
  std::vector<ParamSpec> table_;
};

Error bad_value(std::string_view key, std::string reason) {
  return corrupt(std::move(reason)).at(fmt::format("key \"{}\"", key));
}

void require_range(std::string_view key, int64_t value, int64_t low, int64_t high) {
  if (value >= low && value <= high) return;
  throw bad_value(key, fmt::format("must be between {} and {} (got {})", low, high, value));
}

void require_positive(std::string_view key, double value) {
  if (std::isfinite(value) && value > 0) return;
  throw bad_value(key, fmt::format("must be a positive number (got {})", value));
}

// 0: none.
void require_cap(std::string_view key, double value) {
  if (value != 0) require_positive(key, value);
}

void require_divisors(std::string_view key, const std::vector<double>& divisors, int64_t pairs) {
  if (std::ssize(divisors) != pairs)
    throw bad_value(key, fmt::format("has {} numbers; heads have {} pairs that are turned",
                                     divisors.size(), pairs));
  for (const double d : divisors) require_positive(key, d);
}

void validate_rope(const RopeConfig& r, int64_t head_dim) {
  require_positive("rope_theta", r.theta);
  if (!(r.part > 0 && r.part <= 1))
    throw bad_value("partial_rotary_factor",
                    fmt::format("must be above 0 and at most 1 (got {})", r.part));
  const int64_t width = turned_width(r, head_dim);
  if (width < 2 || width % 2 != 0)
    throw bad_value(r.part == 1 ? "head_dim" : "partial_rotary_factor",
                    r.part == 1
                        ? fmt::format("{} is odd; rotary positions need pairs", head_dim)
                        : fmt::format("{} of its {} elements are rotary; positions need pairs",
                                      width, head_dim));
  if (r.scaling == RopeScaling::none) return;
  if (r.scaling == RopeScaling::dynamic) {
    if (r.alpha != 0) require_positive("alpha", r.alpha);
    if (width == 2 && r.alpha > 0)
      throw bad_value("head_dim", "alpha needs more than one pair that is turned");
    return;
  }
  if (r.scaling == RopeScaling::longrope) {
    require_range("original_max_position_embeddings", r.original_context, 1, int64_t{1} << 31);
    require_divisors("short_factor", r.short_factors, width / 2);
    require_divisors("long_factor", r.long_factors, width / 2);
    return;
  }
  require_positive("factor", r.factor);
  if (r.scaling == RopeScaling::linear || r.scaling == RopeScaling::proportional) return;
  require_range("original_max_position_embeddings", r.original_context, 1, int64_t{1} << 31);
  if (r.scaling == RopeScaling::llama3) {
    require_positive("low_freq_factor", r.low_freq_factor);
    if (!(std::isfinite(r.high_freq_factor) && r.high_freq_factor > r.low_freq_factor)) {
      throw bad_value("high_freq_factor", fmt::format("must be above low_freq_factor {} (got {})",
                                                      r.low_freq_factor, r.high_freq_factor));
    }
    return;
  }
  require_positive("beta_fast", r.beta_fast);
  require_positive("beta_slow", r.beta_slow);
  if (r.theta <= 1)
    throw bad_value("rope_theta", fmt::format("must be above 1 for yarn (got {})", r.theta));
}

void validate_full_heads(const DecoderConfig& c) {
  const HeadsConfig& h = *c.full_heads;
  NIBBLE_CHECK(c.window_rope.has_value());
  require_range("global_head_dim", h.head_dim, 1, 1 << 16);
  require_range("num_global_key_value_heads", h.kv_heads, 1, c.heads);
  if (c.heads % h.kv_heads != 0)
    throw bad_value("num_global_key_value_heads",
                    fmt::format("{} key/value heads do not divide {} heads", h.kv_heads, c.heads));
}

void validate_delta(const DeltaConfig& d) {
  require_range("linear_num_key_heads", d.key_heads, 1, 1 << 12);
  require_range("linear_num_value_heads", d.value_heads, 1, 1 << 12);
  require_range("linear_key_head_dim", d.key_dim, 1, 1 << 12);
  require_range("linear_value_head_dim", d.value_dim, 1, 1 << 12);
  require_range("linear_conv_kernel_dim", d.taps, 1, 1 << 10);
  if (d.value_heads % d.key_heads != 0)
    throw bad_value("linear_num_value_heads",
                    fmt::format("{} is no multiple of {} key heads", d.value_heads, d.key_heads));
}

void validate_latent(const DecoderConfig& c) {
  const LatentConfig& l = c.latent;
  if (l.kv_rank == 0) return;
  require_range("kv_lora_rank", l.kv_rank, 1, 1 << 20);
  require_range("q_lora_rank", l.q_rank, 0, 1 << 20);
  require_range("qk_nope_head_dim", l.own_dim, 1, 1 << 15);
  require_range("qk_rope_head_dim", l.shared_dim, 2, 1 << 15);
  require_range("v_head_dim", l.value_dim, 1, 1 << 15);
  if (l.shared_dim % 2 != 0)
    throw bad_value("qk_rope_head_dim",
                    fmt::format("{} is odd; rotary positions need pairs", l.shared_dim));
  NIBBLE_CHECK(c.head_dim == l.own_dim + l.shared_dim && c.rope.begin == l.own_dim);
}

void validate_kinds(const DecoderConfig& c) {
  if (!c.layer_kinds.empty() && std::ssize(c.layer_kinds) != c.layers)
    throw bad_value("layer_types",
                    fmt::format("names {} layers; there are {}", c.layer_kinds.size(), c.layers));
  for (const auto& [key, flags] :
       {std::pair("no_rope_layers", &c.turned), std::pair("mlp_layer_types", &c.sparse),
        std::pair("layers_block_type", &c.feeds)}) {
    if (!flags->empty() && std::ssize(*flags) != c.layers)
      throw bad_value(key, fmt::format("names {} layers; there are {}", flags->size(), c.layers));
  }
  for (const LayerKind kind : c.layer_kinds) {
    if (kind == LayerKind::window) require_range("sliding_window", c.sliding_window, 1, 1LL << 31);
    if (kind == LayerKind::convolution) require_range("conv_L_cache", c.conv_taps, 1, 1 << 10);
    if (kind == LayerKind::delta) validate_delta(c.delta);
  }
}

void validate_experts(const DecoderConfig& c) {
  // Of all layers: each is a row of the parameter table.
  require_range("num_local_experts", c.experts, 0, (1 << 16) / c.layers);
  require_range("num_experts_per_tok", c.experts_per_token, c.experts > 0 ? 1 : 0, c.experts);
  require_range("moe_intermediate_size", c.expert_size, 0, 1 << 24);
  require_range("shared_expert_intermediate_size", c.shared_size, 0, 1 << 24);
  if (c.experts == 0) return;
  const RouterConfig& r = c.router;
  require_range("n_group", r.groups, 1, std::min(c.experts, kMostExpertGroups));
  require_range("topk_group", r.groups_chosen, 1, r.groups);
  require_positive("routed_scaling_factor", r.scale);
  const int64_t each = c.experts / r.groups;
  if (each * r.groups != c.experts)
    throw bad_value("n_group",
                    fmt::format("{} groups do not divide {} experts", r.groups, c.experts));
  if (r.best_two && r.groups > 1 && each < 2)
    throw bad_value("n_group", fmt::format("{} groups of {} experts: groups are chosen by two",
                                           r.groups, each));
  if (c.experts_per_token > each * r.groups_chosen)
    throw bad_value("num_experts_per_tok",
                    fmt::format("is {}; the groups chosen have {} experts", c.experts_per_token,
                                each * r.groups_chosen));
}

}  // namespace

std::vector<ParamSpec> parameter_table(const DecoderConfig& config) {
  return TableBuilder(config).build();
}

const ParamSpec* find_parameter(const std::vector<ParamSpec>& table, const ParamKey& key) {
  const auto found = std::find_if(table.begin(), table.end(), [&](const ParamSpec& p) {
    return static_cast<const ParamKey&>(p) == key;
  });
  return found == table.end() ? nullptr : &*found;
}

LayerKind layer_kind(const DecoderConfig& config, int layer) {
  return config.layer_kinds.empty() ? LayerKind::full
                                    : config.layer_kinds[static_cast<size_t>(layer)];
}

bool has_experts(const DecoderConfig& c, int layer) {
  return c.experts > 0 && (c.sparse.empty() || c.sparse[static_cast<size_t>(layer)] != 0);
}

bool has_feed(const DecoderConfig& c, int layer) {
  return c.feeds.empty() || c.feeds[static_cast<size_t>(layer)] != 0;
}

HeadsConfig heads_of(const DecoderConfig& c, int layer) {
  if (c.full_heads && layer_kind(c, layer) == LayerKind::full) return *c.full_heads;
  return {c.kv_heads, c.head_dim};
}

int64_t head_dim_of_rope(const DecoderConfig& c, int index) {
  return index == 0 && c.full_heads ? c.full_heads->head_dim : c.head_dim;
}

int64_t expert_size(const DecoderConfig& c) {
  return c.expert_size > 0 ? c.expert_size : c.intermediate_size;
}

std::vector<RopeConfig> ropes(const DecoderConfig& c) {
  if (c.position != PositionKind::rotary) return {};
  std::vector<RopeConfig> out{c.rope};
  if (c.window_rope) out.push_back(*c.window_rope);
  return out;
}

int rope_of(const DecoderConfig& c, int layer) {
  const bool turned = c.turned.empty() || c.turned[static_cast<size_t>(layer)] != 0;
  if (c.position != PositionKind::rotary || !turned) return -1;
  return c.window_rope && layer_kind(c, layer) == LayerKind::window ? 1 : 0;
}

float attention_scale(const DecoderConfig& c) {
  if (c.attention_scale > 0) return static_cast<float>(c.attention_scale);
  return 1.0f / std::sqrt(static_cast<float>(c.head_dim));
}

int64_t parameter_count(const DecoderConfig& config) {
  int64_t sum = 0;
  for (const ParamSpec& p : parameter_table(config)) sum += p.shape.elements();
  return sum;
}

void validate(const DecoderConfig& c) {
  // Limits far above any published model, low enough that no product of two of them overflows.
  require_range("vocab_size", c.vocab_size, 1, 1 << 24);
  require_range("hidden_size", c.hidden_size, 1, 1 << 20);
  require_range("num_hidden_layers", c.layers, 1, kMostLayers);
  require_range("num_attention_heads", c.heads, 1, 1 << 16);
  require_range("num_key_value_heads", c.kv_heads, 1, c.heads);
  validate_latent(c);
  require_range("head_dim", c.head_dim, 1, 1 << 16);
  require_range("intermediate_size", c.intermediate_size, 1, 1 << 24);
  require_range("max_position_embeddings", c.context, 1, int64_t{1} << 31);
  require_range("sliding_window", c.sliding_window, 0, int64_t{1} << 31);
  validate_experts(c);
  validate_kinds(c);
  NIBBLE_CHECK(c.position_offset >= 0 && c.position_offset <= 1 << 10);
  if (c.heads % c.kv_heads != 0) {
    throw bad_value("num_key_value_heads",
                    fmt::format("{} key/value heads do not divide {} heads", c.kv_heads, c.heads));
  }
  if (c.full_heads) validate_full_heads(c);
  require_positive("norm_eps", c.norm_eps);
  require_cap("attn_logit_softcapping", c.attention_softcap);
  require_cap("final_logit_softcapping", c.final_softcap);
  require_positive("residual_multiplier", c.residual_scale);
  require_positive("logits_scaling", c.logit_scale);
  require_positive("embedding_multiplier", c.embedding_scale);
  for (const double scale : {c.attention_out_scale, c.gate_scale, c.down_scale})
    require_positive("multiplier", scale);
  if (c.qkv_by_head && c.heads != c.kv_heads)
    throw bad_value("num_key_value_heads", "must be that of heads where they are one matrix");
  const std::vector<RopeConfig> all = ropes(c);
  for (size_t i = 0; i < all.size(); ++i)
    validate_rope(all[i], head_dim_of_rope(c, static_cast<int>(i)));
}

}  // namespace nibble
