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
      matrix(Role::position_embedding, -1, c_.context, c_.hidden_size, false);
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
    matrix(Role::q, layer, q_size, c_.hidden_size, c_.qkv_bias);
    matrix(Role::k, layer, kv_size, c_.hidden_size, c_.qkv_bias);
    matrix(Role::v, layer, kv_size, c_.hidden_size, c_.qkv_bias);
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
    table_.push_back({role, layer, bias, names_.tensor_name(role, layer, bias), std::move(shape)});
  }

  const DecoderConfig& c_;
  const Architecture& names_;
  std::vector<ParamSpec> table_;
};

void require_range(std::string_view key, int64_t value, int64_t low, int64_t high) {
  if (value >= low && value <= high) return;
  throw corrupt(fmt::format("must be between {} and {} (got {})", low, high, value))
      .at(fmt::format("key \"{}\"", key));
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
  if (c.heads % c.kv_heads != 0) {
    throw corrupt(fmt::format("{} key/value heads do not divide {} heads", c.kv_heads, c.heads))
        .at("key \"num_key_value_heads\"");
  }
  if (!(std::isfinite(c.norm_eps) && c.norm_eps > 0)) {
    throw corrupt(fmt::format("must be a positive number (got {})", c.norm_eps))
        .at("key \"norm_eps\"");
  }
}

}  // namespace nibble
