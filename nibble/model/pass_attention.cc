// The attention of a LayerPass.
#include "nibble/kernels/layer.h"
#include "nibble/model/layer_pass.h"

namespace nibble {

// Norms, turns and stores what one key head needs of one row: its queries, its key, its value.
void LayerPass::prepare_row(const Layer& layer, const SequenceRows& s, int64_t row,
                            int64_t position, int64_t kv_head) const {
  const AttentionPlan& plan = *layer.plan.attention;
  const int64_t d = plan.rule.shape.head_dim, shared = plan.rule.shape.shared(), half = d / 2;
  const auto of = [&](BufferId id, int64_t head) {
    const View v = view(layer.plan, id);
    return v.data + row * v.stride + head * d;
  };
  float *const q = of(BufferId::q, kv_head * shared), *const k = of(BufferId::k, kv_head);
  const auto norm = [&](int index, float* x) {
    if (index < 0) return;
    const NormWeights& weights = layer.norms[static_cast<size_t>(index)];
    normalize(NormKind::rms, config_.norm_eps, weights, x, d, x);
  };
  for (int64_t i = 0; i < shared; ++i) norm(plan.q_norm, q + i * d);
  norm(plan.k_norm, k);
  if (plan.rotary) {
    rotary_.apply(cos_ + row * half, sin_ + row * half, shared, q);
    rotary_.apply(cos_ + row * half, sin_ + row * half, 1, k);
  }
  s.cache->write(layer.place, kv_head, position, k, of(BufferId::v, kv_head));
}

void LayerPass::prepare_rows(const Layer& layer, int64_t begin, int64_t end,
                             int64_t kv_head) const {
  int64_t row = 0;
  for (const SequenceRows& s : sequences_) {
    for (int64_t r = 0; r < s.rows; ++r, ++row) {
      if (row >= begin && row < end) prepare_row(layer, s, row, s.start + r, kv_head);
    }
  }
}

// Tiles of one key head over all sequences: every step-th, beginning with this thread's.
void LayerPass::attend_head(const Layer& layer, int64_t kv_head, int64_t step,
                            const Team& team) const {
  const AttentionRule& rule = layer.plan.attention->rule;
  float* const scratch = scratch_ + team.rank() * scratch_each_;
  const View q = view(layer.plan, BufferId::q);
  const int64_t width = rule.shape.heads * rule.shape.head_dim;
  int64_t row = 0, first = step == 1 ? 0 : team.rank();
  for (const SequenceRows& s : sequences_) {
    const Attention a({q.data + row * q.stride, q.stride, s.rows, s.start}, *s.cache, layer.place,
                      rule, buffer(BufferId::mixed) + row * width);
    const int64_t tiles = a.tiles();
    int64_t tile = first;
    for (; tile < tiles; tile += step) a.run(kv_head, tile, scratch);
    first = tile - tiles;
    row += s.rows;
  }
}

void LayerPass::attend(const Layer& layer, Team& team) const {
  const int64_t heads = layer.plan.attention->rule.shape.kv_heads;
  if (m_ * heads < team.size() * 64 && heads >= team.size()) {
    // Few rows: a thread does all that belongs to a key head, and waits for nobody.
    for (int64_t head = team.rank(); head < heads; head += team.size()) {
      prepare_rows(layer, 0, m_, head);
      attend_head(layer, head, 1, team);
    }
    return;
  }
  const auto [begin, end] = team.share(m_);
  for (int64_t head = 0; head < heads; ++head) prepare_rows(layer, begin, end, head);
  team.sync();
  for (int64_t head = 0; head < heads; ++head) attend_head(layer, head, team.size(), team);
}

}  // namespace nibble
