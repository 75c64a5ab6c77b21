#include "nibble/model/decoder.h"

#include <fmt/format.h>

#include <algorithm>

#include "nibble/core/error.h"
#include "nibble/kernels/layer.h"
#include "nibble/model/decoder_build.h"

namespace nibble {
namespace {

// Below this many multiplications a pass stays on one thread: starting a team costs more.
constexpr int64_t kWorthATeam = int64_t{1} << 20;
// Multiplications of a pass that may take long enough for a stop to be heard within it.
constexpr int64_t kHeardBetween = int64_t{1} << 28;
// The head, which may be as much work as many blocks, is then done so many rows or multiplications
// at a time, whichever are more.
constexpr int64_t kHeadRows = 64, kHeadWork = int64_t{1} << 31;
// The workspace buffer of the logits; those before belong to BlockPass.
constexpr size_t kLogits = 15;

}  // namespace

Decoder::Decoder(const DecoderConfig& config, const WeightLoader& load,
                 const LinearOptions& options, const WeightRelease& release)
    : config_(config) {
  validate(config_);
  const ParameterFinder find(config_, load, release);
  if (config_.tied) {
    head_ =
        LinearGroup({{"lm_head (tied)", find.table(Role::token_embedding), std::nullopt}}, options);
    find.done(Role::token_embedding, -1);
  } else {
    head_ = LinearGroup({find.linear(Role::lm_head, -1)}, options);
    find.done(Role::lm_head, -1);
  }
  ends_ = ModelEnds(config_, find, !config_.tied);
  if (config_.position == PositionKind::rotary) rotary_ = Rotary(config_.rope, config_.head_dim);
  for (int layer = 0; layer < config_.layers; ++layer)
    blocks_.push_back(build_block(config_, layer, find, options));
  for (const Block& b : blocks_) {
    for (const LinearGroup* g : {&b.qkv, &b.o, &b.up, &b.down})
      block_multiplications_ += g->multiplications();
  }
}

KvCache Decoder::make_cache(int64_t capacity, DType dtype) const {
  return {config_.layers, capacity, {config_.heads, config_.kv_heads, config_.head_dim}, dtype};
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

// This thread's share of the rows: token, position, norm.
void Decoder::embed(const Batch& batch, const BlockPass& pass, const Team& team) const {
  const auto width = static_cast<size_t>(config_.hidden_size);
  const auto [begin, end] = team.share(pass.rows());
  int64_t row = 0;
  for (const SequenceRows& s : batch.sequences) {
    for (int64_t r = 0; r < s.rows; ++r, ++row) {
      if (row < begin || row >= end) continue;
      const std::span<float> x(pass.x() + row * config_.hidden_size, width);
      const int32_t id = batch.ids[static_cast<size_t>(row)];
      config_.tied ? head_.weight_row(0, id, x) : ends_.token(id, x);
      ends_.place(config_, s.start + r, x);
    }
  }
}

int Decoder::threads_for(int64_t rows, int64_t logit_rows, const Exec& exec) const {
  const int64_t work = rows * block_multiplications_ + logit_rows * head_.multiplications();
  return work < kWorthATeam ? 1 : std::max(exec.threads, 1);
}

// The most workspace that a product needs; asked again only when the rows or threads have changed.
int64_t Decoder::products_bytes(int64_t m, int64_t logit_rows, int threads,
                                Workspace& workspace) const {
  const int64_t key = m * (int64_t{1} << 32) + logit_rows;
  if (workspace.rows == key && workspace.threads == threads) return 0;
  workspace.rows = key;
  workspace.threads = threads;
  int64_t most = head_.workspace_bytes(std::max<int64_t>(logit_rows, 1), threads);
  for (const Block& b : blocks_) most = std::max(most, b.workspace_bytes(m, threads));
  return most;
}

// This thread's share of the final norm: rows whose logits are wanted, into h, which has room for
// every row of the pass.
void Decoder::final_norm(const Batch& batch, const BlockPass& pass, const Team& team) const {
  const int64_t width = config_.hidden_size;
  const auto [begin, end] = team.share(static_cast<int64_t>(batch.logit_rows.size()));
  for (int64_t i = begin; i < end; ++i) {
    const int64_t row = batch.logit_rows[static_cast<size_t>(i)];
    ends_.final_norm(config_, pass.x() + row * width, pass.h() + i * width);
  }
}

void Decoder::run_together(const Batch& batch, const BlockPass& pass, float* logits,
                           Team& team) const {
  embed(batch, pass, team);
  pass.prepare(team);
  team.sync();
  for (size_t i = 0; i < blocks_.size(); ++i) pass.run(blocks_[i], static_cast<int64_t>(i), &team);
  if (batch.logit_rows.empty()) return;
  final_norm(batch, pass, team);
  team.sync();
  head_.forward(pass.h(), static_cast<int64_t>(batch.logit_rows.size()), {std::span(&logits, 1)},
                pass.products(), team);
}

// The same in steps, between which the observer hears what the products are about to read, and a
// stop is heard.
void Decoder::run_observed(const Batch& batch, const BlockPass& pass, float* logits, int threads,
                           const Exec& exec) const {
  const auto wanted = static_cast<int64_t>(batch.logit_rows.size());
  run_team(threads, [&](Team& team) {
    embed(batch, pass, team);
    pass.prepare(team);
  });
  for (size_t i = 0; i < blocks_.size(); ++i) {
    exec.check_stop();
    pass.run(blocks_[i], static_cast<int64_t>(i), nullptr);
  }
  run_team(threads, [&](Team& team) { final_norm(batch, pass, team); });
  head_.observe({pass.h(), static_cast<size_t>(wanted * config_.hidden_size)}, wanted, exec);
  const int64_t rows =
      std::max(kHeadRows, kHeadWork / std::max<int64_t>(head_.multiplications(), 1));
  for (int64_t at = 0; at < wanted; at += rows) {
    exec.check_stop();
    float* const y = logits + at * config_.vocab_size;
    run_team(threads, [&](Team& team) {
      head_.forward(pass.h() + at * config_.hidden_size, std::min(rows, wanted - at),
                    {std::span(&y, 1)}, pass.products(), team);
    });
  }
}

std::span<const float> Decoder::run(const Batch& batch, Workspace& workspace,
                                    const Exec& exec) const {
  const auto m = static_cast<int64_t>(batch.ids.size());
  const auto wanted = static_cast<int64_t>(batch.logit_rows.size());
  const int threads = threads_for(m, wanted, exec);
  const BlockPass pass(config_, rotary_, batch.sequences, threads,
                       products_bytes(m, wanted, threads, workspace), workspace, exec);
  float* const logits = workspace.buffers[kLogits].get<float>(wanted * config_.vocab_size);
  if (exec.observer != nullptr || m * block_multiplications_ > kHeardBetween)
    run_observed(batch, pass, logits, threads, exec);
  else
    run_team(threads, [&](Team& team) { run_together(batch, pass, logits, team); });
  return {logits, static_cast<size_t>(wanted * config_.vocab_size)};
}

std::span<const float> Decoder::step(std::span<const int32_t> ids, KvCache& cache, Logits wanted,
                                     const Exec& exec) const {
  check(ids, cache);
  if (ids.empty()) return {};
  const auto m = static_cast<int64_t>(ids.size());
  const SequenceRows sequence{&cache, cache.length(), m};
  std::vector<int64_t> rows(wanted == Logits::all    ? ids.size()
                            : wanted == Logits::last ? size_t{1}
                                                     : size_t{0});
  for (size_t i = 0; i < rows.size(); ++i)
    rows[i] = m - static_cast<int64_t>(rows.size()) + static_cast<int64_t>(i);
  cache.advance(m);
  return run({ids, {&sequence, 1}, rows}, cache.workspace(), exec);
}

std::vector<float> Decoder::forward(std::span<const int32_t> ids, KvCache& cache, Logits wanted,
                                    const Exec& exec) const {
  const auto logits = step(ids, cache, wanted, exec);
  return {logits.begin(), logits.end()};
}

std::span<const float> Decoder::decode(std::span<const int32_t> ids,
                                       std::span<KvCache* const> caches, const Exec& exec) const {
  NIBBLE_CHECK(ids.size() == caches.size());
  if (ids.empty()) return {};
  std::vector<SequenceRows> sequences;
  std::vector<int64_t> rows;
  for (size_t i = 0; i < ids.size(); ++i) check(ids.subspan(i, 1), *caches[i]);
  for (size_t i = 0; i < ids.size(); ++i) {
    sequences.push_back({caches[i], caches[i]->length(), 1});
    rows.push_back(static_cast<int64_t>(i));
    caches[i]->advance(1);
  }
  return run({ids, sequences, rows}, caches[0]->workspace(), exec);
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
  size_t sum = head_.memory_bytes() + ends_.memory_bytes();
  for (const Block& b : blocks_) {
    sum += b.qkv.memory_bytes() + b.o.memory_bytes() + b.up.memory_bytes() + b.down.memory_bytes();
    sum += (b.attn_gain.size() + b.attn_bias.size() + b.mlp_gain.size() + b.mlp_bias.size() +
            b.q_gain.size() + b.k_gain.size()) *
           sizeof(float);
  }
  return sum;
}

size_t Decoder::weight_bytes() const {
  size_t sum = head_.weight_bytes();
  for (const Block& b : blocks_) {
    sum += b.qkv.weight_bytes() + b.o.weight_bytes() + b.up.weight_bytes() + b.down.weight_bytes();
  }
  return sum;
}

}  // namespace nibble
