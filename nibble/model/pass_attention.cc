// The attention of a LayerPass.
#include <algorithm>

#include "nibble/kernels/layer.h"
#include "nibble/model/layer_pass.h"

namespace nibble {

// Norms, turns and stores what one key head needs of one row: its queries, its key, its value.
void LayerPass::prepare_row(const Layer& layer, const SequenceRows& s, int64_t row,
                            int64_t position, int64_t kv_head) const {
  const AttentionPlan& plan = *layer.plan.attention;
  const int64_t d = plan.rule.shape.head_dim, shared = plan.rule.shape.shared(),
                values = plan.rule.shape.values();
  const auto prepare = [&](int index, float* x) {
    if (index >= 0 && !plan.norm_rows && !plan.norm_turned) norm_head(layer, index, x);
    if (plan.rope >= 0) {
      const int64_t at = (plan.rope * m_ + row) * half_;
      ropes_[static_cast<size_t>(plan.rope)].apply(cos_ + at, sin_ + at, x);
    }
    if (index >= 0 && plan.norm_turned) norm_head(layer, index, x);
  };
  const View queries = view(layer.plan, BufferId::q);
  const auto scale = static_cast<float>(plan.query_scale(position));
  for (int64_t i = 0; i < shared; ++i) {
    float* const q = queries.at(row, (kv_head * shared + i) * d);
    prepare(plan.q_norm, q);
    for (int64_t c = 0; c < d && scale != 1; ++c) q[c] *= scale;
  }
  float* const k = view(layer.plan, BufferId::k).at(row, kv_head * d);
  prepare(plan.k_norm, k);
  s.cache->write(layer.place.attention, kv_head, position, k,
                 view(layer.plan, BufferId::v).at(row, kv_head * values));
}

void LayerPass::norm_head(const Layer& layer, int index, float* x) const {
  const NormPlan& n = layer.plan.norms[static_cast<size_t>(index)];
  normalize(n.kind, n.eps, layer.norms[static_cast<size_t>(index)], x, n.width, x);
}

// Norms of all heads of this thread's share of the rows.
void LayerPass::norm_rows(const Layer& layer, const Team& team) const {
  const AttentionPlan& plan = *layer.plan.attention;
  const auto [begin, end] = team.share(m_);
  for (int64_t r = begin; r < end; ++r) {
    norm_head(layer, plan.q_norm, view(layer.plan, BufferId::q).at(r, 0));
    norm_head(layer, plan.k_norm, view(layer.plan, BufferId::k).at(r, 0));
  }
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
  AttentionRule rule = layer.plan.attention->rule;
  if (!layer.sinks.empty()) rule.sinks = layer.sinks.data();
  float* const scratch = scratch_ + team.rank() * scratch_each_;
  const View q = view(layer.plan, BufferId::q);
  const int64_t width = rule.shape.heads * rule.shape.values();
  int64_t row = 0, first = step == 1 ? 0 : team.rank();
  for (const SequenceRows& s : sequences_) {
    const Attention a({q.data + row * q.stride, q.stride, s.rows, s.start, q.step}, *s.cache,
                      layer.place.attention, rule, buffer(BufferId::mixed) + row * width);
    const int64_t tiles = a.tiles();
    int64_t tile = first;
    for (; tile < tiles; tile += step) a.run(kv_head, tile, scratch);
    first = tile - tiles;
    row += s.rows;
  }
}

void LayerPass::keys(const Layer& layer, const Step& step, const Team& team) const {
  const View own = view(layer.plan, step.in), shared = view(layer.plan, BufferId::key_shared);
  const int64_t width = layer.plan.buffer(step.out).width,
                d = layer.plan.attention->rule.shape.head_dim;
  const auto [begin, end] = team.share(m_);
  for (int64_t r = begin; r < end; ++r) {
    float* out = buffer(step.out) + r * width;
    for (int64_t c = 0; c < layer.plan.buffer(step.in).width; c += own.piece, out += d) {
      std::copy_n(own.at(r, c), own.piece, out);
      std::copy_n(shared.at(r, 0), d - own.piece, out + own.piece);
    }
  }
}

void LayerPass::attend(const Layer& layer, Team& team) const {
  const int64_t heads = layer.plan.attention->rule.shape.kv_heads;
  if (layer.plan.attention->norm_rows) {
    norm_rows(layer, team);
    team.sync();
  }
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
