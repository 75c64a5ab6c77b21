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
                 const LinearOptions& options)
    : config_(config), attention_shape_{config.heads, config.kv_heads, config.head_dim} {
  validate(config_);
  if (config_.position != PositionKind::learned) {
    throw unsupported(
        fmt::format("{}: rotary positions cannot be run by this version", config_.architecture));
  }
  const ParameterFinder find(config_, load);
  Weight tokens = find.table(Role::token_embedding);
  head_ = LinearGroup({config_.tied ? LinearMember{"lm_head (tied)", tokens, std::nullopt}
                                    : find.linear(Role::lm_head, -1)},
                      options);
  tokens_ = Embedding(std::move(tokens));
  positions_ = Embedding(find.table(Role::position_embedding));
  embedding_gain_ = find.vector(Role::embedding_norm, -1, false);
  embedding_bias_ = find.vector(Role::embedding_norm, -1, true);
  final_gain_ = find.vector(Role::final_norm, -1, false);
  final_bias_ = find.vector(Role::final_norm, -1, true);
  for (int layer = 0; layer < config_.layers; ++layer)
    blocks_.push_back(build_block(config_, layer, find, options));
}

KvCache Decoder::make_cache(int64_t capacity) const {
  return {config_.layers, capacity, attention_shape_};
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
    positions_.add(start + static_cast<int64_t>(r), row);
  }
  return x;
}

void Decoder::norm(std::span<const float> x, int64_t m, std::span<const float> gain,
                   std::span<const float> bias, std::span<float> out) const {
  const auto apply = config_.norm == NormKind::rms ? rms_norm : layer_norm;
  apply(x, m, config_.hidden_size, gain, bias, config_.norm_eps, out);
}

void Decoder::attention(const Block& block, int64_t layer, std::vector<float>& x, int64_t m,
                        KvCache& cache, const Exec& exec) const {
  const AttentionShape& s = attention_shape_;
  std::vector<float> h(x.size());
  norm(x, m, block.attn_gain, block.attn_bias, h);
  auto q = rows_of(m, s.heads * s.head_dim), k = rows_of(m, s.kv_heads * s.head_dim), v = k;
  float* const outputs[] = {q.data(), k.data(), v.data()};
  block.qkv.forward(h, m, outputs, exec);
  const int64_t start = cache.length() - m;
  cache.write(layer, start, m, k, v);
  auto mixed = rows_of(m, s.heads * s.head_dim);
  attend(q, m, start, cache, layer, s, mixed, exec);
  block.o.forward(mixed, m, h.data(), exec);
  add_to(x, h);
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
  if (config_.embedding_norm) norm(x, m, embedding_gain_, embedding_bias_, x);
  cache.advance(m);
  for (size_t layer = 0; layer < blocks_.size(); ++layer) {
    attention(blocks_[layer], static_cast<int64_t>(layer), x, m, cache, exec);
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
  size_t sum = tokens_.memory_bytes() + positions_.memory_bytes() + head_.memory_bytes();
  for (const Block& b : blocks_) {
    sum += b.qkv.memory_bytes() + b.o.memory_bytes() + b.up.memory_bytes() + b.down.memory_bytes();
    sum += (b.attn_gain.size() + b.attn_bias.size() + b.mlp_gain.size() + b.mlp_bias.size()) *
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
