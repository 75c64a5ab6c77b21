// What moves information between positions, in f64.
#include <algorithm>
#include <cmath>

#include "nibble/model/reference_steps.h"

namespace nibble::reference {

// Turns one head at position r; the sequence is all that there is of it.
void Steps::turn(const Rotary& rotary, int64_t r, double* x) const {
  const int64_t pairs = rotary.pairs();
  std::vector<float> cos(at(pairs)), sin(at(pairs));
  rotary.angles(r, rows_, cos.data(), sin.data());
  for (int64_t i = 0; i < pairs; ++i) {
    const int64_t a = rotary.begin() + (rotary.neighbours() ? 2 * i : i),
                  b = a + (rotary.neighbours() ? 1 : pairs);
    const double first = x[a], second = x[b], c = cos[at(i)], s = sin[at(i)];
    x[a] = first * c - second * s;
    x[b] = second * c + first * s;
  }
}

// Norms and turns every head of a buffer.
void Steps::prepare(BufferId id, int norm_index) {
  const AttentionPlan& a = *plan_.attention;
  const int64_t d = a.rule.shape.head_dim;
  const Rotary rotary = a.rope >= 0 ? Rotary(ropes(config_)[at(a.rope)], d) : Rotary();
  const bool has_norm = norm_index >= 0;
  for (int64_t r = 0; r < rows_; ++r) {
    if (has_norm && a.norm_rows) norm(plan_.norms[at(norm_index)], row(id, r));
    for (double* x = row(id, r); x < row(id, r) + plan_.buffer(id).width; x += d) {
      if (has_norm && !a.norm_rows && !a.norm_turned) norm(plan_.norms[at(norm_index)], x);
      if (a.rope >= 0) turn(rotary, r, x);
      if (has_norm && a.norm_turned) norm(plan_.norms[at(norm_index)], x);
      for (int64_t i = 0; i < d && id == BufferId::q; ++i) x[i] *= a.query_scale(r);
    }
  }
}

// silu of the convolution of channels [channel, channel + out.size()), which stand in qkv from
// `column` on.
void Steps::convolve_head(std::span<const float> taps, int64_t r, int64_t channel, int64_t column,
                          Rows& out) {
  const int64_t count = plan_.delta->shape.taps;
  for (size_t i = 0; i < out.size(); ++i) {
    out[i] = 0;
    for (int64_t t = std::max<int64_t>(0, count - 1 - r); t < count; ++t)
      out[i] += double{taps[at((channel + static_cast<int64_t>(i)) * count + t)]} *
                row(BufferId::qkv, r - count + 1 + t)[at(column) + i];
    out[i] /= 1 + std::exp(-out[i]);
  }
}

void Steps::make_unit(double scale, Rows& x) {
  double sum = 1e-6;
  for (const double v : x) sum += v * v;
  for (double& v : x) v *= scale / std::sqrt(sum);
}

void Steps::delta(const Step& step) {
  output(step.out, false);
  for (int64_t head = 0; head < plan_.delta->shape.value_heads; ++head) delta_head(step.out, head);
}

void Steps::delta_head(BufferId out, int64_t head) {
  const DeltaPlan& plan = *plan_.delta;
  const DeltaConfig& d = plan.shape;
  const int64_t dk = d.key_dim, dv = d.value_dim, key = head / d.shared();
  const std::vector<float> taps = find_.vector({Role::conv, layer_}),
                           decay = find_.vector({Role::delta_decay, layer_}),
                           decay_bias = find_.vector({Role::delta_decay_bias, layer_});
  Rows state(at(dk * dv)), q(at(dk)), k(at(dk)), v(at(dv));
  for (int64_t r = 0; r < rows_; ++r) {
    convolve_head(taps, r, key * dk, plan.q_column(key), q);
    convolve_head(taps, r, d.keys() + key * dk, plan.k_column(key), k);
    convolve_head(taps, r, 2 * d.keys() + head * dv, plan.v_column(head), v);
    make_unit(1 / std::sqrt(static_cast<double>(dk)), q);
    make_unit(1, k);
    const double a = row(BufferId::delta_a, r)[plan.a_column(head)] + double{decay_bias[at(head)]};
    const double fade = std::exp(-std::exp(double{decay[at(head)]}) * std::log1p(std::exp(a)));
    const double write = 1 / (1 + std::exp(-row(BufferId::delta_b, r)[plan.b_column(head)]));
    double* const y = row(out, r) + head * dv;
    for (int64_t j = 0; j < dv; ++j) {
      double recalled = 0;
      for (int64_t i = 0; i < dk; ++i) recalled += fade * state[at(i * dv + j)] * k[at(i)];
      const double change = write * (v[at(j)] - recalled);
      for (int64_t i = 0; i < dk; ++i) {
        double& s = state[at(i * dv + j)];
        s = fade * s + k[at(i)] * change;
        y[j] += s * q[at(i)];
      }
    }
    norm(plan_.norms[at(plan.norm)], y);
    const double* const z = row(BufferId::delta_z, r) + plan.z_column(head);
    for (int64_t j = 0; j < dv; ++j) y[j] *= z[j] / (1 + std::exp(-z[j]));
  }
}

void Steps::mamba_convolve(const Step& step) {
  const MambaConfig& m = plan_.mamba->shape;
  const ParamKey key{Role::conv, layer_};
  const std::vector<float> taps = find_.vector(key), bias = find_.vector(key.with_bias(true));
  output(step.out, false);
  for (int64_t r = 0; r < rows_; ++r) {
    for (int64_t c = 0; c < m.channels(); ++c) {
      double sum = bias.empty() ? 0 : double{bias[at(c)]};
      for (int64_t t = std::max<int64_t>(0, m.taps - 1 - r); t < m.taps; ++t)
        sum += double{taps[at(c * m.taps + t)]} * m.channel_scale(c) *
               row(step.in, r - m.taps + 1 + t)[c];
      row(step.out, r)[c] = silu(sum);
    }
  }
}

void Steps::mamba_scan(const Step& step) {
  const MambaConfig& m = plan_.mamba->shape;
  const std::vector<float> decay = find_.vector({Role::delta_decay, layer_}),
                           bias = find_.vector({Role::delta_decay_bias, layer_}),
                           skip = find_.vector({Role::mamba_skip, layer_});
  output(step.out, false);
  for (int64_t head = 0; head < m.heads; ++head) {
    Rows state(at(m.head_dim * m.state));
    const int64_t group = head / (m.heads / m.groups);
    for (int64_t r = 0; r < rows_; ++r) {
      const double* const x = row(step.in, r) + head * m.head_dim;
      const double *const b = row(step.in, r) + m.width() + group * m.state, *const c =
                                                                                 b +
                                                                                 m.groups * m.state;
      double dt = m.scales[4] * row(BufferId::mamba_dt, r)[head] + double{bias[at(head)]};
      dt = std::max(dt > 20 ? dt : std::log1p(std::exp(dt)), m.step_least);
      if (m.step_most > 0) dt = std::min(dt, m.step_most);
      const double fade = std::exp(-std::exp(double{decay[at(head)]}) * dt);
      for (int64_t j = 0; j < m.head_dim; ++j) {
        double& y = row(step.out, r)[head * m.head_dim + j];
        y = double{skip[at(head)]} * x[j];
        for (int64_t i = 0; i < m.state; ++i) {
          double& s = state[at(j * m.state + i)];
          s = fade * s + dt * b[i] * x[j];
          y += s * c[i];
        }
      }
    }
  }
}

void Steps::mamba_gate(const Step& step) {
  const MambaConfig& m = plan_.mamba->shape;
  const std::vector<float> gain = find_.vector({Role::mamba_norm, layer_});
  const int64_t width = m.width() / m.groups;
  for (int64_t r = 0; r < rows_; ++r) {
    for (int64_t first = 0; first < m.width(); first += width) {
      double* const y = row(step.out, r) + first;
      const double* const z = row(step.in, r) + first;
      const auto gate = [&] {
        for (int64_t i = 0; i < width; ++i) y[i] *= silu(m.scales[0] * z[i]);
      };
      if (m.norm != GateNorm::before) gate();
      if (m.norm == GateNorm::none) continue;
      double square = 0;
      for (int64_t i = 0; i < width; ++i) square += y[i] * y[i] / static_cast<double>(width);
      for (int64_t i = 0; i < width; ++i)
        y[i] *= double{gain[at(first + i)]} / std::sqrt(square + config_.norm_eps);
      if (m.norm == GateNorm::before) gate();
    }
  }
}

void Steps::keys(const Step& step) {
  const int64_t own = plan_.buffer(step.in).piece, shared = config_.latent.shared_dim;
  output(step.out, false);
  for (int64_t r = 0; r < rows_; ++r) {
    for (int64_t head = 0; head < config_.heads; ++head) {
      double* const key = row(step.out, r) + head * (own + shared);
      for (int64_t i = 0; i < own; ++i) key[i] = row(step.in, r)[head * own + i];
      for (int64_t i = 0; i < shared; ++i) key[own + i] = row(BufferId::key_shared, r)[i];
    }
  }
}

void Steps::attend(const Step& step) {
  const AttentionPlan& a = *plan_.attention;
  prepare(BufferId::q, a.q_norm);
  prepare(BufferId::k, a.k_norm);
  output(step.out, false);
  const std::vector<float> sinks = find_.vector({Role::sinks, layer_});
  for (int64_t r = 0; r < rows_; ++r) {
    for (int64_t head = 0; head < a.rule.shape.heads; ++head)
      attend(a.rule, r, head, a.sinks ? &sinks[at(head)] : nullptr);
  }
}

void Steps::attend(const AttentionRule& rule, int64_t r, int64_t head, const float* sink) {
  const int64_t d = rule.shape.head_dim, of = head / rule.shape.shared(), kv = of * d,
                dv = rule.shape.values();
  const int64_t first = rule.window > 0 ? std::max<int64_t>(0, r - rule.window + 1) : 0;
  const double* const q = row(BufferId::q, r) + head * d;
  Rows p;
  double sum = 0;
  for (int64_t u = first; u <= r; ++u) {
    double dot = 0;
    for (int64_t i = 0; i < d; ++i) dot += q[i] * row(BufferId::k, u)[kv + i];
    p.push_back(capped(double{rule.scale} * dot, double{rule.softcap}));
  }
  if (sink != nullptr) p.push_back(double{*sink});
  const double most = *std::max_element(p.begin(), p.end());
  for (double& v : p) sum += v = std::exp(v - most);
  for (int64_t u = first; u <= r; ++u) {
    for (int64_t i = 0; i < dv; ++i)
      row(BufferId::mixed, r)[head * dv + i] +=
          p[at(u - first)] / sum * row(BufferId::v, u)[of * dv + i];
  }
}

void Steps::convolve(const Step& step) {
  const ConvolutionPlan& plan = *plan_.convolution;
  const ParamKey key{Role::conv, layer_};
  const std::vector<float> taps = find_.vector(key), bias = find_.vector(key.with_bias(true));
  const int64_t n = plan.channels;
  output(step.out, false);
  for (int64_t r = 0; r < rows_; ++r) {
    for (int64_t c = 0; c < n; ++c) {
      double sum = bias.empty() ? 0 : double{bias[at(c)]};
      for (int64_t t = 0; t < plan.taps; ++t) {
        const int64_t from = r - plan.taps + 1 + t;
        if (from < 0) continue;
        const double* const x = row(step.in, from);
        sum += double{taps[at(c * plan.taps + t)]} * x[c] * x[2 * n + c];
      }
      row(step.out, r)[c] = row(step.in, r)[n + c] * sum;
    }
  }
}

}  // namespace nibble::reference
