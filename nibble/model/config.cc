#include "nibble/model/config.h"

#include <fmt/format.h>

#include <cmath>

#include "nibble/model/architecture.h"

namespace nibble {
namespace {

class TableBuilder {
 public:
  explicit TableBuilder(const DecoderConfig& c) : c_(c), names_(architecture(c.architecture)) {}

  std::vector<ParamSpec> build() {
    matrix(Role::token_embedding, -1, c_.vocab_size, c_.hidden_size, false);
    if (c_.position == PositionKind::learned) {
      matrix(Role::position_embedding, -1, c_.context + c_.position_offset, c_.hidden_size, false);
    }
    if (!c_.tied) matrix(Role::lm_head, -1, c_.vocab_size, c_.hidden_size, false);
    if (c_.embedding_norm) norm(Role::embedding_norm, -1);
    for (int layer = 0; layer < c_.layers; ++layer) block(layer);
    if (c_.final_norm) norm(Role::final_norm, -1);
    return std::move(table_);
  }

 private:
  void block(int layer) {
    const int64_t q_size = c_.heads * c_.head_dim, kv_size = c_.kv_heads * c_.head_dim;
    norm(Role::attn_norm, layer);
    if (c_.fused_qkv) {
      matrix(Role::qkv, layer, q_size + 2 * kv_size, c_.hidden_size, c_.qkv_bias);
    } else {
      matrix(Role::q, layer, q_size, c_.hidden_size, c_.qkv_bias);
      matrix(Role::k, layer, kv_size, c_.hidden_size, c_.qkv_bias);
      matrix(Role::v, layer, kv_size, c_.hidden_size, c_.qkv_bias);
    }
    if (c_.qk_norm) {
      add(Role::q_norm, layer, false, Shape{c_.head_dim});
      add(Role::k_norm, layer, false, Shape{c_.head_dim});
    }
    matrix(Role::o, layer, c_.hidden_size, q_size, c_.o_bias);
    norm(Role::mlp_norm, layer);
    if (c_.mlp == MlpKind::silu_gated) {
      matrix(Role::gate, layer, c_.intermediate_size, c_.hidden_size, c_.mlp_bias);
    }
    matrix(Role::up, layer, c_.intermediate_size, c_.hidden_size, c_.mlp_bias);
    matrix(Role::down, layer, c_.hidden_size, c_.intermediate_size, c_.mlp_bias);
  }

  void matrix(Role role, int layer, int64_t n, int64_t k, bool bias) {
    add(role, layer, false, Shape{n, k});
    if (bias) add(role, layer, true, Shape{n});
  }

  void norm(Role role, int layer) {
    if (c_.norm_gain) add(role, layer, false, Shape{c_.hidden_size});
    if (c_.norm_bias) add(role, layer, true, Shape{c_.hidden_size});
  }

  void add(Role role, int layer, bool bias, Shape shape) {
    const std::string prefix = role == Role::lm_head ? "" : c_.name_prefix;
    const bool transposed = names_.conv1d && layer >= 0 && shape.rank() == 2;
    table_.push_back({role, layer, bias, prefix + names_.tensor_name(role, layer, bias),
                      std::move(shape), transposed});
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

}  // namespace

std::vector<ParamSpec> parameter_table(const DecoderConfig& config) {
  return TableBuilder(config).build();
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
  require_range("num_hidden_layers", c.layers, 1, 10'000);
  require_range("num_attention_heads", c.heads, 1, 1 << 16);
  require_range("num_key_value_heads", c.kv_heads, 1, c.heads);
  require_range("head_dim", c.head_dim, 1, 1 << 16);
  require_range("intermediate_size", c.intermediate_size, 1, 1 << 24);
  require_range("max_position_embeddings", c.context, 1, int64_t{1} << 31);
  require_range("sliding_window", c.sliding_window, 0, int64_t{1} << 31);
  require_range("max_window_layers", c.first_window_layer, 0, 1 << 30);
  NIBBLE_CHECK(c.position_offset >= 0 && c.position_offset <= 1 << 10);
  if (c.heads % c.kv_heads != 0) {
    throw bad_value("num_key_value_heads",
                    fmt::format("{} key/value heads do not divide {} heads", c.kv_heads, c.heads));
  }
  require_positive("norm_eps", c.norm_eps);
  if (c.position == PositionKind::rotary) validate_rope(c);
}

}  // namespace nibble
