// The delta layers of a LayerPass: a short convolution of queries, keys and values, a state for
// each head that every token changes, and a gated norm of what is read of it.
#include "nibble/model/pass_delta.h"

#include <algorithm>
#include <cmath>

#include "nibble/kernels/layer.h"
#include "nibble/model/layer_pass.h"

namespace nibble {
namespace {

constexpr double kUnitEps = 1e-6;  // transformers' and the authors'

// What the convolution reads of one sequence: its rows in this pass, and in front of them those in
// the state, the oldest first, [taps - 1, channels].
struct DeltaInputs {
  const DeltaPlan& plan;
  const float* rows;
  int64_t stride;
  const float* state;

  // Elements of a head, whose channels and columns begin there, of row r.
  const float* at(int64_t r, int64_t channel, int64_t column) const {
    return r < 0 ? state + (r + plan.shape.taps - 1) * plan.shape.channels() + channel
                 : rows + r * stride + column;
  }
};

// silu of the convolution of n channels at row r; `sums` has room for n.
void convolve_head(const DeltaInputs& in, const Layer& layer, int64_t r, int64_t channel,
                   int64_t column, int64_t n, float* sums, float* out) {
  const int64_t taps = in.plan.shape.taps;
  const float* const w = layer.taps.data() + channel * taps;
  std::fill_n(sums, n, 0.0f);
  for (int64_t t = 0; t < taps; ++t) {
    const float* const x = in.at(r - taps + 1 + t, channel, column);
    for (int64_t i = 0; i < n; ++i) sums[i] += w[i * taps + t] * x[i];
  }
  std::fill_n(out, n, 1.0f);
  best_layer_ops().silu_gate(sums, n, out);
}

void make_unit(int64_t n, double scale, float* x) {
  double sum = kUnitEps;
  for (int64_t i = 0; i < n; ++i) sum += double{x[i]} * x[i];
  const auto by = static_cast<float>(scale / std::sqrt(sum));
  for (int64_t i = 0; i < n; ++i) x[i] *= by;
}

// ln(1 + e^x)
double softplus(double x) { return x > 20 ? x : std::log1p(std::exp(x)); }

}  // namespace

void LayerPass::delta_head(const Layer& layer, const SequenceRows& s, int64_t first, int64_t head,
                           float* scratch) const {
  const DeltaPlan& plan = *layer.plan.delta;
  const DeltaConfig& d = plan.shape;
  const int64_t dk = d.key_dim, dv = d.value_dim, key_head = head / d.shared();
  const View qkv = view(layer.plan, BufferId::qkv), z = view(layer.plan, BufferId::delta_z),
             b = view(layer.plan, BufferId::delta_b), a = view(layer.plan, BufferId::delta_a);
  const DeltaInputs in{plan, qkv.data + first * qkv.stride, qkv.stride,
                       s.cache->state(layer.place.state).data()};
  const int64_t at = plan.inputs_floats() + head * dk * dv;
  float* const state = s.cache->next_state(layer.place.state).data() + at;
  std::copy_n(s.cache->state(layer.place.state).data() + at, dk * dv, state);
  float *const q = scratch, *const k = q + dk, *const v = k + dk, *const sums = v + dv;
  const auto own = static_cast<size_t>(head);
  const double rate = -std::exp(double{layer.decay[own]});
  for (int64_t r = 0; r < s.rows; ++r) {
    convolve_head(in, layer, r, key_head * dk, plan.q_column(key_head), dk, sums, q);
    convolve_head(in, layer, r, d.keys() + key_head * dk, plan.k_column(key_head), dk, sums, k);
    convolve_head(in, layer, r, 2 * d.keys() + head * dv, plan.v_column(head), dv, sums, v);
    make_unit(dk, 1 / std::sqrt(static_cast<double>(dk)), q);
    make_unit(dk, 1, k);
    const double fade =
        rate * softplus(double{*a.at(first + r, plan.a_column(head))} + layer.decay_bias[own]);
    const double write = 1 / (1 + std::exp(-double{*b.at(first + r, plan.b_column(head))}));
    float* const out = buffer(BufferId::mixed) + (first + r) * d.values() + head * dv;
    best_layer_ops().delta({q, k, v, dk, dv, static_cast<float>(std::exp(fade)),
                            static_cast<float>(write), state, out});
    normalize(NormKind::rms, config_.norm_eps, layer.norms[static_cast<size_t>(plan.norm)], out, dv,
              out);
    best_layer_ops().silu_gate(z.at(first + r, plan.z_column(head)), dv, out);
  }
}

// The last inputs of the convolution, for the next pass.
void LayerPass::keep_delta_inputs(const Layer& layer, const SequenceRows& s, int64_t first) const {
  const DeltaPlan& plan = *layer.plan.delta;
  const DeltaConfig& d = plan.shape;
  const View qkv = view(layer.plan, BufferId::qkv);
  const DeltaInputs in{plan, qkv.data + first * qkv.stride, qkv.stride,
                       s.cache->state(layer.place.state).data()};
  float* to = s.cache->next_state(layer.place.state).data();
  for (int64_t i = 0; i < d.taps - 1; ++i, to += d.channels()) {
    const auto keep = [&](int64_t channel, int64_t column, int64_t n) {
      std::copy_n(in.at(s.rows - d.taps + 1 + i, channel, column), n, to + channel);
    };
    for (int64_t h = 0; h < d.key_heads; ++h) {
      keep(h * d.key_dim, plan.q_column(h), d.key_dim);
      keep(d.keys() + h * d.key_dim, plan.k_column(h), d.key_dim);
    }
    for (int64_t h = 0; h < d.value_heads; ++h)
      keep(2 * d.keys() + h * d.value_dim, plan.v_column(h), d.value_dim);
  }
}

void LayerPass::delta(const Layer& layer, Team& team) const {
  const int64_t heads = layer.plan.delta->shape.value_heads;
  float* const scratch = scratch_ + team.rank() * scratch_each_;
  int64_t first = 0;
  for (const SequenceRows& s : sequences_) {
    team.pieces(heads + 1, [&](int64_t i) {
      i < heads ? delta_head(layer, s, first, i, scratch) : keep_delta_inputs(layer, s, first);
    });
    first += s.rows;
  }
}

}  // namespace nibble
