#include "nibble/model/decoder.h"

#include <fmt/format.h>

#include "nibble/model/decoder_build.h"
#include "nibble/nn/activation.h"
#include "nibble/nn/norm.h"

namespace nibble {
namespace {

void add_to(std::vector<float>& x, const std::vector<float>& y) {
  for (size_t i = 0; i < x.size(); ++i) x[i] += y[i];
}

std::vector<float> rows_of(int64_t m, int64_t width) {
  return std::vector<float>(static_cast<size_t>(m * width));
}

}  // namespace

Decoder::Decoder(const DecoderConfig& config, const WeightLoader& load,
                 const LinearOptions& options, const WeightRelease& release)
    : config_(config), attention_shape_{config.heads, config.kv_heads, config.head_dim} {
  validate(config_);
  const ParameterFinder find(config_, load, release);
  Weight tokens = find.table(Role::token_embedding);
  head_ = LinearGroup({config_.tied ? LinearMember{"lm_head (tied)", tokens, std::nullopt}
                                    : find.linear(Role::lm_head, -1)},
                      options);
  find.done(config_.tied ? Role::token_embedding : Role::lm_head, -1);
  tokens_ = Embedding(std::move(tokens));
  if (config_.position == PositionKind::learned)
    positions_ = Embedding(find.table(Role::position_embedding));
  else
    rotary_ = Rotary(config_.rope, config_.head_dim);
  embedding_gain_ = find.vector(Role::embedding_norm, -1, false);
  embedding_bias_ = find.vector(Role::embedding_norm, -1, true);
  final_gain_ = find.vector(Role::final_norm, -1, false);
  final_bias_ = find.vector(Role::final_norm, -1, true);
  for (int layer = 0; layer < config_.layers; ++layer)
    blocks_.push_back(build_block(config_, layer, find, options));
}

KvCache Decoder::make_cache(int64_t capacity, DType dtype) const {
  return {config_.layers, capacity, attention_shape_, dtype};
}

void Decoder::check(std::span<const int32_t> ids, const KvCache& cache) const {
  const int64_t needed = cache.length() + static_cast<int64_t>(ids.size());
  const int64_t room = std::min(cache.capacity(), config_.context);
  if (needed > room) {
    throw invalid_argument(fmt::format("{} tokens do not fit the context of {}", needed, room));
  }
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] < 0 || ids[i] >= config_.vocab_size) {
      throw invalid_argument(fmt::format("token {} at position {} is outside the vocabulary of {}",
                                         ids[i], i, config_.vocab_size));
    }
  }
}

std::vector<float> Decoder::embed(std::span<const int32_t> ids, int64_t start) const {
  const auto width = static_cast<size_t>(config_.hidden_size);
  std::vector<float> x(ids.size() * width);
  for (size_t r = 0; r < ids.size(); ++r) {
    const auto row = std::span(x).subspan(r * width, width);
    tokens_.lookup(ids[r], row);
    if (config_.position == PositionKind::learned)
      positions_.add(config_.position_offset + start + static_cast<int64_t>(r), row);
  }
  return x;
}

void Decoder::norm(std::span<const float> x, int64_t m, std::span<const float> gain,
                   std::span<const float> bias, std::span<float> out) const {
  const auto apply = config_.norm == NormKind::rms ? rms_norm : layer_norm;
  apply(x, m, config_.hidden_size, gain, bias, config_.norm_eps, out);
}

void Decoder::attention(const Block& block, int64_t layer, std::vector<float>& x, int64_t m,
                        const RopeAngles& angles, KvCache& cache, const Exec& exec) const {
  const AttentionShape& s = attention_shape_;
  std::vector<float> h(x.size());
  norm(x, m, block.attn_gain, block.attn_bias, h);
  const Projected p = project(block, h, m, exec);
  if (config_.qk_norm) {
    NIBBLE_CHECK(!config_.fused_qkv);
    norm_heads(p.q, m * s.heads, block.q_gain);
    norm_heads(p.k, m * s.kv_heads, block.k_gain);
  }
  if (config_.position == PositionKind::rotary) {
    rotary_.apply(angles, m, s.heads, p.q, p.q_stride);
    rotary_.apply(angles, m, s.kv_heads, p.k, p.kv_stride);
  }
  const int64_t start = cache.length() - m;
  cache.write(layer, start, m, p.k, p.v, p.kv_stride);
  auto mixed = rows_of(m, s.heads * s.head_dim);
  attend({p.q, p.q_stride, m, start}, cache, layer, s, block.window, mixed, exec);
  block.o.forward(mixed, m, h.data(), exec);
  add_to(x, h);
}

Decoder::Projected Decoder::project(const Block& block, std::span<const float> h, int64_t m,
                                    const Exec& exec) const {
  const AttentionShape& s = attention_shape_;
  const int64_t q = s.heads * s.head_dim, kv = s.kv_heads * s.head_dim, all = q + 2 * kv;
  Projected p;
  p.memory = rows_of(m, all);
  p.q = p.memory.data();
  // Fused, a row holds q, k and v; else they are three matrices behind each other.
  p.k = p.q + (config_.fused_qkv ? q : m * q);
  p.v = p.k + (config_.fused_qkv ? kv : m * kv);
  p.q_stride = config_.fused_qkv ? all : q;
  p.kv_stride = config_.fused_qkv ? all : kv;
  float* const outputs[] = {p.q, p.k, p.v};
  block.qkv.forward(h, m, std::span(outputs).first(block.qkv.size()), exec);
  return p;
}

void Decoder::norm_heads(float* x, int64_t rows, std::span<const float> gain) const {
  const std::span<float> all(x, static_cast<size_t>(rows * config_.head_dim));
  rms_norm(all, rows, config_.head_dim, gain, {}, config_.norm_eps, all);
}

void Decoder::mlp(const Block& block, std::vector<float>& x, int64_t m, const Exec& exec) const {
  std::vector<float> h(x.size());
  norm(x, m, block.mlp_gain, block.mlp_bias, h);
  auto up = rows_of(m, config_.intermediate_size);
  if (config_.mlp == MlpKind::silu_gated) {
    auto gate = up;
    float* const outputs[] = {gate.data(), up.data()};
    block.up.forward(h, m, outputs, exec);
    silu_gate(gate, up);
  } else {
    block.up.forward(h, m, up.data(), exec);
    config_.mlp == MlpKind::relu   ? relu(up)
    : config_.mlp == MlpKind::gelu ? gelu(up)
                                   : gelu_tanh(up);
  }
  block.down.forward(up, m, h.data(), exec);
  add_to(x, h);
}

std::vector<float> Decoder::forward(std::span<const int32_t> ids, KvCache& cache, Logits wanted,
                                    const Exec& exec) const {
  check(ids, cache);
  if (ids.empty()) return {};
  const auto m = static_cast<int64_t>(ids.size());
  std::vector<float> x = embed(ids, cache.length());
  const RopeAngles angles = rotary_.angles(cache.length(), m);
  if (config_.embedding_norm) norm(x, m, embedding_gain_, embedding_bias_, x);
  cache.advance(m);
  for (size_t layer = 0; layer < blocks_.size(); ++layer) {
    attention(blocks_[layer], static_cast<int64_t>(layer), x, m, angles, cache, exec);
    mlp(blocks_[layer], x, m, exec);
  }
  if (config_.final_norm) norm(x, m, final_gain_, final_bias_, x);
  const int64_t rows = wanted == Logits::all ? m : 1;
  const auto width = static_cast<size_t>(config_.hidden_size);
  const auto tail = std::span<const float>(x).last(static_cast<size_t>(rows) * width);
  auto logits = rows_of(rows, config_.vocab_size);
  head_.forward(tail, rows, logits.data(), exec);
  return logits;
}

void Decoder::for_each_linear(const std::function<void(const LinearGroup&, size_t)>& f) const {
  const auto each = [&](const LinearGroup& g) {
    for (size_t i = 0; i < g.size(); ++i) f(g, i);
  };
  for (const Block& b : blocks_) {
    each(b.qkv), each(b.o), each(b.up), each(b.down);
  }
  each(head_);
}

size_t Decoder::memory_bytes() const {
  size_t sum = tokens_.memory_bytes() + head_.memory_bytes();
  if (config_.position == PositionKind::learned) sum += positions_.memory_bytes();
  for (const Block& b : blocks_) {
    sum += b.qkv.memory_bytes() + b.o.memory_bytes() + b.up.memory_bytes() + b.down.memory_bytes();
    sum += (b.attn_gain.size() + b.attn_bias.size() + b.mlp_gain.size() + b.mlp_bias.size() +
            b.q_gain.size() + b.k_gain.size()) *
           sizeof(float);
  }
  return sum + (embedding_gain_.size() + embedding_bias_.size() + final_gain_.size() +
                final_bias_.size()) *
                   sizeof(float);
}

size_t Decoder::weight_bytes() const {
  size_t sum = head_.weight_bytes();
  for (const Block& b : blocks_) {
    sum += b.qkv.weight_bytes() + b.o.weight_bytes() + b.up.weight_bytes() + b.down.weight_bytes();
  }
  return sum;
}

}  // namespace nibble
