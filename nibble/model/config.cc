#include "nibble/model/config.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

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
    table_.push_back(std::move(spec));
  }

  // Of a norm: all vectors but biases are.
  static bool is_gain(const ParamSpec& p) { return p.shape.rank() == 1 && !p.bias; }

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

void validate_rope(const DecoderConfig& c) {
  const RopeConfig& r = c.rope;
  require_positive("rope_theta", r.theta);
  if (c.head_dim % 2 != 0)
    throw bad_value("head_dim", fmt::format("{} is odd; rotary positions need pairs", c.head_dim));
  if (r.scaling == RopeScaling::none) return;
  require_positive("factor", r.factor);
  if (r.scaling == RopeScaling::linear) return;
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

void validate_kinds(const DecoderConfig& c) {
  if (!c.layer_kinds.empty() && std::ssize(c.layer_kinds) != c.layers)
    throw bad_value("layer_types",
                    fmt::format("names {} layers; there are {}", c.layer_kinds.size(), c.layers));
  for (const LayerKind kind : c.layer_kinds) {
    if (kind == LayerKind::window) require_range("sliding_window", c.sliding_window, 1, 1LL << 31);
    if (kind == LayerKind::convolution) require_range("conv_L_cache", c.conv_taps, 1, 1 << 10);
  }
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
  require_range("head_dim", c.head_dim, 1, 1 << 16);
  require_range("intermediate_size", c.intermediate_size, 1, 1 << 24);
  require_range("max_position_embeddings", c.context, 1, int64_t{1} << 31);
  require_range("sliding_window", c.sliding_window, 0, int64_t{1} << 31);
  // Of all layers: each is a row of the parameter table.
  require_range("num_local_experts", c.experts, 0, (1 << 16) / c.layers);
  require_range("num_experts_per_tok", c.experts_per_token, c.experts > 0 ? 1 : 0, c.experts);
  validate_kinds(c);
  NIBBLE_CHECK(c.position_offset >= 0 && c.position_offset <= 1 << 10);
  if (c.heads % c.kv_heads != 0) {
    throw bad_value("num_key_value_heads",
                    fmt::format("{} key/value heads do not divide {} heads", c.kv_heads, c.heads));
  }
  require_positive("norm_eps", c.norm_eps);
  require_cap("attn_logit_softcapping", c.attention_softcap);
  require_cap("final_logit_softcapping", c.final_softcap);
  if (c.position == PositionKind::rotary) validate_rope(c);
}

}  // namespace nibble
