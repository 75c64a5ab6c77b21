// The short convolutions of a LayerPass (LFM2, Liquid AI 2025).
#include <algorithm>

#include "nibble/model/layer_pass.h"

namespace nibble {
namespace {

// What the convolution reads of one sequence, by its rows in this pass; those before them are in
// the state, the oldest first: [taps - 1, channels].
class Gated {
 public:
  Gated(const ConvolutionPlan& plan, const float* rows, std::span<const float> state)
      : plan_(plan), rows_(rows), state_(state) {}
  // B and C of a row lie in front of its x.
  const float* row(int64_t r) const { return rows_ + r * 3 * plan_.channels; }
  float at(int64_t r, int64_t channel) const {
    if (r < 0) return state_[static_cast<size_t>((r + plan_.taps - 1) * plan_.channels + channel)];
    const float* const x = row(r);
    return x[channel] * x[2 * plan_.channels + channel];
  }

 private:
  const ConvolutionPlan& plan_;
  const float* rows_;
  std::span<const float> state_;
};

}  // namespace

void LayerPass::convolve(const Layer& layer, const Team& team) const {
  const ConvolutionPlan& plan = *layer.plan.convolution;
  const int64_t n = plan.channels;
  const auto [begin, end] = team.share(m_);
  int64_t first = 0;
  for (const SequenceRows& s : sequences_) {
    const Gated gated(plan, buffer(BufferId::qkv) + first * 3 * n,
                      s.cache->state(layer.place.state));
    for (int64_t r = std::max<int64_t>(begin - first, 0); r < std::min(end - first, s.rows); ++r) {
      float* const out = buffer(BufferId::mixed) + (first + r) * n;
      for (int64_t c = 0; c < n; ++c) {
        float sum = layer.taps_bias.empty() ? 0 : layer.taps_bias[static_cast<size_t>(c)];
        for (int64_t t = 0; t < plan.taps; ++t)
          sum += layer.taps[static_cast<size_t>(c * plan.taps + t)] *
                 gated.at(r - plan.taps + 1 + t, c);
        out[c] = gated.row(r)[n + c] * sum;
      }
    }
    const bool mine = begin <= first && first < end;
    const std::span<float> next = s.cache->next_state(layer.place.state);
    for (int64_t i = 0; i < plan.taps - 1 && mine; ++i) {
      for (int64_t c = 0; c < n; ++c)
        next[static_cast<size_t>(i * n + c)] = gated.at(s.rows - plan.taps + 1 + i, c);
    }
    first += s.rows;
  }
}

}  // namespace nibble
