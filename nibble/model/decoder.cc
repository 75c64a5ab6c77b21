#include "nibble/model/decoder.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "nibble/core/error.h"
#include "nibble/core/finite.h"
#include "nibble/core/parallel.h"
#include "nibble/kernels/layer.h"
#include "nibble/nn/losses.h"

namespace nibble {
namespace {

// Below this many multiplications a pass stays on one thread: starting a team costs more.
constexpr int64_t kWorthATeam = int64_t{1} << 20;
// Multiplications of a pass that may take long enough for a stop to be heard within it.
constexpr int64_t kHeardBetween = int64_t{1} << 28;
// The head, which may be as much work as many layers, is then done so many rows or multiplications
// at a time, whichever are more.
constexpr int64_t kHeadRows = 64, kHeadWork = int64_t{1} << 31;
// The workspace buffer of the logits; those before belong to LayerPass.
constexpr size_t kLogits = kBuffers + 4;

}  // namespace

Decoder::Decoder(const DecoderConfig& config, const WeightLoader& load,
                 const LinearOptions& options, const WeightRelease& release)
    : config_(config) {
  validate(config_);
  const ParameterFinder find(config_, load, release);
  std::vector<std::optional<Layer>> built(static_cast<size_t>(config_.layers));
  // The head, which is large, first: what is taken up last is waited for.
  parallel_for(config_.layers + 1, options.threads, [&](int64_t i) {
    if (i == 0)
      build_ends(find, options);
    else
      built[static_cast<size_t>(i - 1)] =
          build_layer(config_, static_cast<int>(i - 1), find, options);
  });
  size_ = pass_size(config_);
  for (std::optional<Layer>& layer : built) {
    layer->place = add_layer(layer->plan, cache_shape_);
    layer_multiplications_ += layer->multiplications();
    layers_.push_back(std::move(*layer));
  }
}

void Decoder::build_ends(const ParameterFinder& find, const LinearOptions& options) {
  if (config_.tied) {
    head_ =
        LinearGroup({{"lm_head (tied)", find.table(Role::token_embedding), std::nullopt}}, options);
    find.done({Role::token_embedding});
  } else {
    head_ = LinearGroup({find.linear({Role::lm_head})}, options);
    find.done({Role::lm_head});
  }
  ends_ = ModelEnds(config_, find, !config_.tied);
  ropes_ = rotaries(config_);
}

KvCache Decoder::make_cache(int64_t capacity, DType dtype) const {
  return {cache_shape_, capacity, dtype};
}

// Two items would write to the same positions.
void Decoder::check(std::span<const Item> batch) const {
  for (size_t i = 0; i < batch.size(); ++i) {
    check(batch[i].ids, *batch[i].cache);
    for (size_t j = 0; j < i; ++j) {
      if (batch[j].cache == batch[i].cache)
        throw invalid_argument(fmt::format("items {} and {} of a batch have one cache", j, i));
    }
  }
}

void Decoder::check(std::span<const int32_t> ids, const KvCache& cache) const {
  if (cache.shape() != cache_shape_)
    throw invalid_argument("the cache was made for a model of another shape");
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
void Decoder::embed(const Batch& batch, const LayerPass& pass, const Team& team) const {
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
  const int64_t work = multiplications(rows, logit_rows);
  return work < kWorthATeam ? 1 : std::max(exec.threads, 1);
}

// The most workspace that a product needs.
int64_t Decoder::products_bytes(int64_t m, int64_t logit_rows, int threads) const {
  int64_t most = head_.workspace_bytes(std::max<int64_t>(logit_rows, 1), threads);
  for (const Layer& l : layers_) most = std::max(most, l.workspace_bytes(m, threads));
  return most;
}

// This thread's share of the final norm: rows whose logits are wanted, into h, which has room for
// every row of the pass.
void Decoder::final_norm(const Batch& batch, const LayerPass& pass, const Team& team) const {
  const int64_t width = config_.hidden_size;
  const auto [begin, end] = team.share(static_cast<int64_t>(batch.logit_rows.size()));
  for (int64_t i = begin; i < end; ++i) {
    const int64_t row = batch.logit_rows[static_cast<size_t>(i)];
    ends_.final_norm(config_, pass.x() + row * width, pass.h() + i * width);
  }
}

void Decoder::run_together(const Batch& batch, const LayerPass& pass, float* logits,
                           Team& team) const {
  embed(batch, pass, team);
  pass.prepare(team);
  team.sync();
  for (const Layer& layer : layers_) pass.run(layer, team);
  if (batch.logit_rows.empty()) return;
  final_norm(batch, pass, team);
  team.sync();
  const auto wanted = static_cast<int64_t>(batch.logit_rows.size());
  head_.forward(pass.h(), wanted, {std::span(&logits, 1)}, pass.products(), team);
  if (!bends_logits(config_)) return;
  team.sync();
  const auto [begin, end] = team.share(wanted * config_.vocab_size);
  cap_logits(config_, {logits + begin, static_cast<size_t>(end - begin)});
}

// The same in steps, between which a stop is heard.
void Decoder::run_heard(const Batch& batch, const LayerPass& pass, float* logits, int threads,
                        const Exec& exec) const {
  const auto wanted = static_cast<int64_t>(batch.logit_rows.size());
  const auto m = static_cast<int64_t>(batch.ids.size());
  run_team(threads, [&](Team& team) {
    embed(batch, pass, team);
    pass.prepare(team);
  });
  for (const Layer& layer : layers_) {
    exec.check_stop();
    run_team(threads, m * layer.multiplications(), [&](Team& team) { pass.run(layer, team); });
  }
  run_team(threads, [&](Team& team) { final_norm(batch, pass, team); });
  const int64_t rows =
      std::max(kHeadRows, kHeadWork / std::max<int64_t>(head_.multiplications(), 1));
  for (int64_t at = 0; at < wanted; at += rows) {
    exec.check_stop();
    float* const y = logits + at * config_.vocab_size;
    const int64_t now = std::min(rows, wanted - at);
    run_team(threads, multiplications(0, now), [&](Team& team) {
      head_.forward(pass.h() + at * config_.hidden_size, now, {std::span(&y, 1)}, pass.products(),
                    team);
    });
  }
  cap_logits(config_, {logits, static_cast<size_t>(wanted * config_.vocab_size)});
}

// Nothing that is computed from such logits would be a result.
void Decoder::require_finite(const Batch& batch, std::span<const float> logits) const {
  if (all_finite(logits)) return;
  // Read together, a token spoils those before it: attention multiplies its value by 0. Read one by
  // one, the first that is to blame throws.
  if (batch.sequences.size() == 1 && batch.sequences[0].start == 0 && batch.ids.size() > 1) {
    KvCache again = make_cache(std::ssize(batch.ids), batch.sequences[0].cache->dtype());
    for (const int32_t id : batch.ids) forward({&id, 1}, again, Logits::last, Exec{});
  }
  const auto width = static_cast<size_t>(config_.vocab_size);
  size_t bad = 0;
  while (all_finite(logits.subspan(bad * width, width))) ++bad;
  int64_t row = batch.logit_rows[bad];
  const SequenceRows* s = batch.sequences.data();
  while (row >= s->rows) row -= s++->rows;
  fail(
      corrupt(fmt::format("the logits behind token {} of the text are not finite: a weight is NaN "
                          "or infinite, or what the model computes of them is too large for f32",
                          s->start + row + 1)));
}

void Decoder::fail(const Error& error) const {
  if (on_bad_values_) on_bad_values_(error);
  throw error;
}

std::span<const float> Decoder::pass(const Batch& batch, Workspace& workspace,
                                     const Exec& exec) const {
  const auto m = static_cast<int64_t>(batch.ids.size());
  const auto wanted = static_cast<int64_t>(batch.logit_rows.size());
  const int threads = threads_for(m, wanted, exec);
  if (workspace.rows != m || workspace.logit_rows != wanted || workspace.threads != threads) {
    workspace.products = products_bytes(m, wanted, threads);
    workspace.rows = m;
    workspace.logit_rows = wanted;
    workspace.threads = threads;
  }
  const LayerPass layers(config_, ropes_, batch.sequences, threads, size_, workspace.products,
                         workspace);
  float* const logits = workspace.buffers[kLogits].get<float>(wanted * config_.vocab_size);
  if (m * layer_multiplications_ > kHeardBetween)
    run_heard(batch, layers, logits, threads, exec);
  else
    run_team(threads, multiplications(m, wanted),
             [&](Team& team) { run_together(batch, layers, logits, team); });
  const std::span<const float> out(logits, static_cast<size_t>(wanted * config_.vocab_size));
  std::optional<Error> misfit;
  for (const SequenceRows& s : batch.sequences) {
    const auto error = s.cache->take_range_error();
    if (!misfit) misfit = error;
  }
  if (misfit) fail(*misfit);
  require_finite(batch, out);
  return out;
}

std::span<const float> Decoder::run(std::span<const Item> batch, Workspace& workspace,
                                    const Exec& exec) const {
  std::vector<int32_t> ids;
  std::vector<SequenceRows> sequences;
  std::vector<int64_t> rows;
  check(batch);
  for (const Item& item : batch) {
    const auto first = std::ssize(ids), m = std::ssize(item.ids);
    if (m == 0) continue;
    ids.insert(ids.end(), item.ids.begin(), item.ids.end());
    sequences.push_back({item.cache, item.cache->length(), m});
    const int64_t wanted = item.wanted == Logits::all ? m : item.wanted == Logits::last ? 1 : 0;
    for (int64_t i = m - wanted; i < m; ++i) rows.push_back(first + i);
  }
  if (ids.empty()) return {};
  const auto logits = pass({ids, sequences, rows}, workspace, exec);
  for (const SequenceRows& s : sequences) s.cache->advance(s.rows);
  return logits;
}

std::vector<float> Decoder::forward(std::span<const int32_t> ids, KvCache& cache, Logits wanted,
                                    const Exec& exec) const {
  Workspace workspace;
  const Item item{ids, &cache, wanted};
  const auto logits = run({&item, 1}, workspace, exec);
  return {logits.begin(), logits.end()};
}

void Decoder::for_each_linear(const std::function<void(const LinearGroup&, size_t)>& f) const {
  const auto each = [&](const LinearGroup& g) {
    for (size_t i = 0; i < g.size(); ++i) f(g, i);
  };
  for (const Layer& l : layers_) l.for_each_group(each);
  each(head_);
}

int64_t Decoder::pass_bytes(int64_t rows, const Exec& exec) const {
  const int threads = threads_for(rows, 1, exec);
  int64_t sum = config_.vocab_size * int64_t{sizeof(float)} + products_bytes(rows, 1, threads);
  for (const int64_t bytes : size_.bytes(rows, threads)) sum += bytes;
  return sum;
}

size_t Decoder::memory_bytes() const {
  size_t sum = head_.memory_bytes() + ends_.memory_bytes();
  for (const Layer& l : layers_) sum += l.memory_bytes();
  return sum;
}

size_t Decoder::weight_bytes() const {
  size_t sum = head_.weight_bytes();
  for (const Layer& l : layers_) sum += l.weight_bytes();
  return sum;
}

}  // namespace nibble
