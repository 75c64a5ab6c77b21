// The Mamba2 layers of a LayerPass (Dao and Gu 2024): a short convolution, a state for each head
// that every token changes, and a gate with its norm.
#include <algorithm>
#include <cmath>

#include "nibble/kernels/layer.h"
#include "nibble/model/layer_pass.h"

namespace nibble {
namespace {

// What the convolution reads of one sequence: its rows in this pass, and in front of them those in
// the state, the oldest first, [taps - 1, channels].
struct MambaInputs {
  const MambaConfig& shape;
  const float* rows;
  int64_t stride;
  const float* state;

  const float* row(int64_t r) const {
    return r < 0 ? state + (r + shape.taps - 1) * shape.channels() : rows + r * stride;
  }
};

void convolve_row(const MambaInputs& in, const Layer& layer, int64_t r, float* sums, float* out) {
  const int64_t n = in.shape.channels(), taps = in.shape.taps;
  std::fill_n(sums, n, 0.0f);
  for (int64_t t = 0; t < taps; ++t) {
    const float* const x = in.row(r - taps + 1 + t);
    const float* const w = layer.taps.data() + t;
    for (int64_t c = 0; c < n; ++c) sums[c] += w[c * taps] * x[c];
  }
  for (int64_t c = 0; c < n; ++c) {
    const auto i = static_cast<size_t>(c);
    sums[c] = sums[c] * static_cast<float>(in.shape.channel_scale(c)) +
              (layer.taps_bias.empty() ? 0.0f : layer.taps_bias[i]);
  }
  std::fill_n(out, n, 1.0f);
  best_layer_ops().silu_gate(sums, n, out);
}

double time_step(const MambaConfig& m, double x) {
  const double step = std::max(x > 20 ? x : std::log1p(std::exp(x)), m.step_least);
  return m.step_most > 0 ? std::min(step, m.step_most) : step;
}

}  // namespace

void LayerPass::mamba_convolve(const Layer& layer, const Team& team) const {
  const MambaConfig& m = layer.plan.mamba->shape;
  const int64_t n = m.channels();
  const View xbc = view(layer.plan, BufferId::mamba_xbc);
  const auto [begin, end] = team.share(m_);
  float* const sums = scratch_ + team.rank() * scratch_each_;
  int64_t first = 0;
  for (const SequenceRows& s : sequences_) {
    const MambaInputs in{m, xbc.data + first * xbc.stride, xbc.stride,
                         s.cache->state(layer.place.state).data()};
    for (int64_t r = std::max<int64_t>(begin - first, 0); r < std::min(end - first, s.rows); ++r)
      convolve_row(in, layer, r, sums, buffer(BufferId::mamba_conv) + (first + r) * n);
    const bool mine = begin <= first && first < end;
    float* const next = s.cache->next_state(layer.place.state).data();
    for (int64_t i = 0; i < m.taps - 1 && mine; ++i)
      std::copy_n(in.row(s.rows - m.taps + 1 + i), n, next + i * n);
    first += s.rows;
  }
}

void LayerPass::mamba_head(const Layer& layer, const SequenceRows& s, int64_t first,
                           int64_t head) const {
  const MambaPlan& plan = *layer.plan.mamba;
  const MambaConfig& m = plan.shape;
  const int64_t d = m.head_dim, n = m.state, at = plan.inputs_floats() + head * d * n;
  const View dt = view(layer.plan, BufferId::mamba_dt);
  float* const state = s.cache->next_state(layer.place.state).data() + at;
  std::copy_n(s.cache->state(layer.place.state).data() + at, d * n, state);
  const auto own = static_cast<size_t>(head);
  const double rate = -std::exp(double{layer.decay[own]});
  for (int64_t r = first; r < first + s.rows; ++r) {
    const float* const row = buffer(BufferId::mamba_conv) + r * m.channels();
    const float *const x = row + head * d,
                       *const b = row + m.width() + head / (m.heads / m.groups) * n,
                       *const c = b + m.groups * n;
    const double step =
        time_step(m, m.scales[4] * double{*dt.at(r, head)} + double{layer.decay_bias[own]});
    const auto fade = static_cast<float>(std::exp(rate * step)), by = static_cast<float>(step);
    float* const y = buffer(BufferId::mamba_mixed) + r * m.width() + head * d;
    for (int64_t j = 0; j < d; ++j) y[j] = layer.skip[own] * x[j];
    for (int64_t i = 0; i < n; ++i) {
      const float written = by * b[i], read = c[i];
      float* const of = state + i * d;
      for (int64_t j = 0; j < d; ++j) {
        of[j] = fade * of[j] + written * x[j];
        y[j] += of[j] * read;
      }
    }
  }
}

void LayerPass::mamba_scan(const Layer& layer, Team& team) const {
  int64_t first = 0;
  for (const SequenceRows& s : sequences_) {
    team.pieces(layer.plan.mamba->shape.heads,
                [&](int64_t head) { mamba_head(layer, s, first, head); });
    first += s.rows;
  }
}

void LayerPass::mamba_gate(const Layer& layer, const Team& team) const {
  const MambaPlan& plan = *layer.plan.mamba;
  const MambaConfig& m = plan.shape;
  const int64_t n = m.width(), width = n / m.groups;
  const View z = view(layer.plan, BufferId::mamba_z);
  const auto [begin, end] = team.share(m_);
  for (int64_t r = begin; r < end; ++r) {
    float *const y = buffer(BufferId::mamba_mixed) + r * n, *const gate = z.at(r, 0);
    const auto norm = [&] {
      const float* const gain = layer.norms[static_cast<size_t>(plan.norm)].gain.data();
      for (int64_t i = 0; i < n; i += width)
        best_layer_ops().rms_norm(y + i, width, gain + i, nullptr,
                                  static_cast<float>(config_.norm_eps), y + i);
    };
    for (int64_t i = 0; i < n && m.scales[0] != 1; ++i) gate[i] *= static_cast<float>(m.scales[0]);
    if (m.norm == GateNorm::before) norm();
    best_layer_ops().silu_gate(gate, n, y);
    if (m.norm == GateNorm::behind) norm();
  }
}

}  // namespace nibble
