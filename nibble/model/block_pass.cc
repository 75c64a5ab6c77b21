#include "nibble/model/block_pass.h"

#include <algorithm>

#include "nibble/core/checked.h"
#include "nibble/core/error.h"
#include "nibble/kernels/layer.h"

namespace nibble {
namespace {

// Places in the workspace.
enum Slot { kX, kH, kQkv, kMixed, kGate, kUp, kAngles, kScratch, kProducts };

const float* or_null(std::span<const float> v) { return v.empty() ? nullptr : v.data(); }

}  // namespace

int64_t Block::workspace_bytes(int64_t m, int64_t threads) const {
  int64_t most = 0;
  for (const LinearGroup* g : {&qkv, &o, &up, &down})
    most = std::max(most, g->workspace_bytes(m, threads));
  return most;
}

BlockPass::BlockPass(const DecoderConfig& config, const Rotary& rotary,
                     std::span<const SequenceRows> sequences, int threads, int64_t products_bytes,
                     Workspace& workspace, const Exec& exec)
    : config_(config),
      rotary_(rotary),
      sequences_(sequences),
      exec_(exec),
      shape_{config.heads, config.kv_heads, config.head_dim},
      threads_(threads) {
  for (const SequenceRows& s : sequences) m_ += s.rows;
  own_ = m_ <= LinearGroup::kOwnRows;
  const auto floats = [&](Slot slot, int64_t count) {
    return workspace.buffers[slot].get<float>(count);
  };
  const int64_t q = shape_.heads * shape_.head_dim, kv = shape_.kv_heads * shape_.head_dim;
  const int64_t width = config.hidden_size, all = q + 2 * kv, half = shape_.head_dim / 2;
  x_ = floats(kX, m_ * width);
  h_ = floats(kH, m_ * width * (own_ ? threads : 1));
  q_ = floats(kQkv, m_ * all);
  // Fused, a row holds q, k and v; else they are three matrices behind each other.
  k_ = q_ + (config.fused_qkv ? q : m_ * q);
  v_ = k_ + (config.fused_qkv ? kv : m_ * kv);
  q_stride_ = config.fused_qkv ? all : q;
  kv_stride_ = config.fused_qkv ? all : kv;
  mixed_ = floats(kMixed, m_ * q);
  const bool gated = config.mlp == MlpKind::silu_gated;
  gate_ = gated ? floats(kGate, m_ * config.intermediate_size) : nullptr;
  up_ = floats(kUp, m_ * config.intermediate_size);
  cos_ = floats(kAngles, 2 * m_ * half);
  sin_ = cos_ + m_ * half;
  scratch_each_ = ceil_div(attend_scratch_floats(shape_.head_dim), 16) * 16;
  scratch_ = floats(kScratch, scratch_each_ * threads);
  products_ = workspace.buffers[kProducts].get<std::byte>(products_bytes);
}

void BlockPass::prepare(const Team& team) const {
  if (config_.position != PositionKind::rotary) return;
  const int64_t half = shape_.head_dim / 2;
  const auto [begin, end] = team.share(m_);
  int64_t row = 0;
  for (const SequenceRows& s : sequences_) {
    for (int64_t r = 0; r < s.rows; ++r, ++row) {
      if (row >= begin && row < end)
        rotary_.angles(s.start + r, cos_ + row * half, sin_ + row * half);
    }
  }
}

void normalize(const DecoderConfig& config, const float* x, std::span<const float> gain,
               std::span<const float> bias, float* out) {
  const LayerOps& ops = best_layer_ops();
  const auto apply = config.norm == NormKind::rms ? ops.rms_norm : ops.layer_norm;
  apply(x, config.hidden_size, or_null(gain), or_null(bias), static_cast<float>(config.norm_eps),
        out);
}

float* BlockPass::own_h(const Team& team) const {
  return own_ ? h_ + team.rank() * m_ * config_.hidden_size : h_;
}

void BlockPass::norm_all(std::span<const float> gain, std::span<const float> bias,
                         const Team& team) const {
  const auto [begin, end] = own_ ? std::pair<int64_t, int64_t>{0, m_} : team.share(m_);
  const int64_t width = config_.hidden_size;
  for (int64_t r = begin; r < end; ++r)
    normalize(config_, x_ + r * width, gain, bias, own_h(team) + r * width);
}

// With a team the body runs in it; else in one of its own, which ends when all have done their
// part.
template <class F>
void BlockPass::step(Team* team, bool sync, F body) const {
  if (team == nullptr) return run_team(threads_, body);
  body(*team);
  if (sync) team->sync();
}

void BlockPass::observe(const LinearGroup& group, const float* x, Team* team) const {
  if (team != nullptr) return;
  group.observe(std::span(x, static_cast<size_t>(m_ * group.inputs())), m_, exec_);
}

LinearEnd BlockPass::end_of_mlp() const {
  switch (config_.mlp) {
    case MlpKind::silu_gated:
      return LinearEnd::silu_gate;
    case MlpKind::relu:
      return LinearEnd::relu;
    case MlpKind::gelu:
      return LinearEnd::gelu;
    default:
      return LinearEnd::gelu_tanh;
  }
}

void BlockPass::norm_attention(const Block& b, const Team& team) const {
  norm_all(b.attn_gain, b.attn_bias, team);
}

void BlockPass::norm_mlp(const Block& b, const Team& team) const {
  norm_all(b.mlp_gain, b.mlp_bias, team);
}

void BlockPass::project(const Block& b, Team& team) const {
  float* const qkv[] = {q_, k_, v_};
  b.qkv.forward(own_h(team), m_, {std::span(qkv).first(b.qkv.size())}, products_, team);
}

void BlockPass::add_attention(const Block& b, Team& team) const {
  b.o.forward(mixed_, m_, {std::span(&x_, 1), x_}, products_, team);
}

void BlockPass::widen(const Block& b, Team& team) const {
  float* const members[] = {config_.mlp == MlpKind::silu_gated ? gate_ : up_, up_};
  b.up.forward(own_h(team), m_, {std::span(members).first(b.up.size()), nullptr, end_of_mlp()},
               products_, team);
}

void BlockPass::add_mlp(const Block& b, Team& team) const {
  b.down.forward(up_, m_, {std::span(&x_, 1), x_}, products_, team);
}

void BlockPass::run(const Block& b, int64_t layer, Team* team) const {
  step(team, !own_, [&](Team& t) { norm_attention(b, t); });
  observe(b.qkv, h_, team);
  step(team, true, [&](Team& t) { project(b, t); });
  step(team, true, [&](Team& t) { attend(b, layer, t); });
  observe(b.o, mixed_, team);
  step(team, true, [&](Team& t) { add_attention(b, t); });
  step(team, !own_, [&](Team& t) { norm_mlp(b, t); });
  observe(b.up, h_, team);
  step(team, true, [&](Team& t) { widen(b, t); });
  observe(b.down, up_, team);
  step(team, true, [&](Team& t) { add_mlp(b, t); });
}

// Norms, turns and stores what one key head needs of one row: its queries, its key, its value.
void BlockPass::prepare_row(const Block& b, int64_t layer, const SequenceRows& s, int64_t row,
                            int64_t position, int64_t kv_head) const {
  const int64_t d = shape_.head_dim, shared = shape_.shared(), half = d / 2;
  float* const q = q_ + row * q_stride_ + kv_head * shared * d;
  float* const k = k_ + row * kv_stride_ + kv_head * d;
  if (config_.qk_norm) {
    const LayerOps& ops = best_layer_ops();
    const auto eps = static_cast<float>(config_.norm_eps);
    for (int64_t i = 0; i < shared; ++i)
      ops.rms_norm(q + i * d, d, or_null(b.q_gain), nullptr, eps, q + i * d);
    ops.rms_norm(k, d, or_null(b.k_gain), nullptr, eps, k);
  }
  if (config_.position == PositionKind::rotary) {
    rotary_.apply(cos_ + row * half, sin_ + row * half, shared, q);
    rotary_.apply(cos_ + row * half, sin_ + row * half, 1, k);
  }
  s.cache->write(layer, kv_head, position, k, v_ + row * kv_stride_ + kv_head * d);
}

// Tiles of one key head over all sequences: every step-th, beginning with this thread's.
void BlockPass::attend_head(const Block& b, int64_t layer, int64_t kv_head, int64_t step,
                            const Team& team) const {
  float* const scratch = scratch_ + team.rank() * scratch_each_;
  const int64_t width = shape_.heads * shape_.head_dim;
  int64_t row = 0, first = step == 1 ? 0 : team.rank();
  for (const SequenceRows& s : sequences_) {
    const Attention a({q_ + row * q_stride_, q_stride_, s.rows, s.start}, *s.cache, layer, shape_,
                      b.window, mixed_ + row * width);
    const int64_t tiles = a.tiles();
    int64_t tile = first;
    for (; tile < tiles; tile += step) a.run(kv_head, tile, scratch);
    first = tile - tiles;
    row += s.rows;
  }
}

void BlockPass::attend(const Block& b, int64_t layer, Team& team) const {
  const int64_t heads = shape_.kv_heads;
  const auto prepare = [&](int64_t begin, int64_t end, int64_t kv_head) {
    int64_t row = 0;
    for (const SequenceRows& s : sequences_) {
      for (int64_t r = 0; r < s.rows; ++r, ++row) {
        if (row >= begin && row < end) prepare_row(b, layer, s, row, s.start + r, kv_head);
      }
    }
  };
  if (m_ * heads < team.size() * 64 && heads >= team.size()) {
    // Few rows: a thread does all that belongs to a key head, and waits for nobody.
    for (int64_t head = team.rank(); head < heads; head += team.size()) {
      prepare(0, m_, head);
      attend_head(b, layer, head, 1, team);
    }
    return;
  }
  const auto [begin, end] = team.share(m_);
  for (int64_t head = 0; head < heads; ++head) prepare(begin, end, head);
  team.sync();
  for (int64_t head = 0; head < heads; ++head) attend_head(b, layer, head, team.size(), team);
}

}  // namespace nibble
