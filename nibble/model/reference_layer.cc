#include "nibble/model/reference_layer.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "nibble/model/reference_math.h"

namespace nibble::reference {
namespace {

// The steps of one layer. A row for each (row of the stream, choice of an expert) is where the plan
// has several; here they lie in the order of the stream.
class Steps {
 public:
  Steps(const DecoderConfig& config, int layer, const ParameterFinder& find, Rows& x)
      : config_(config),
        layer_(layer),
        plan_(layer_plan(config, layer)),
        find_(find),
        rows_(std::ssize(x) / config.hidden_size) {
    buffer(BufferId::stream) = std::move(x);
    for (const Step& step : plan_.steps) run(step);
    x = std::move(buffer(BufferId::stream));
  }

 private:
  Rows& buffer(BufferId id) { return buffers_[static_cast<size_t>(id)]; }
  double* row(BufferId id, int64_t r) { return buffer(id).data() + r * plan_.buffer(id).width; }
  // Where what a step gives goes.
  Rows& output(const BufferId id, bool adds) {
    if (!adds) buffer(id).assign(at(rows_ * plan_.buffer(id).rows * plan_.buffer(id).width), 0.0);
    return buffer(id);
  }

  void run(const Step& step) {
    switch (step.op) {
      case Op::norm:
        return norm(step);
      case Op::project:
        return project(step);
      case Op::keys:
        return keys(step);
      case Op::attend:
        return attend(step);
      case Op::convolve:
        return convolve(step);
      case Op::delta:
        return delta(step);
      case Op::mamba_convolve:
        return mamba_convolve(step);
      case Op::mamba_scan:
        return mamba_scan(step);
      case Op::mamba_gate:
        return mamba_gate(step);
      case Op::activate:
        return activate(step);
      case Op::gate:
        return gate(step);
      case Op::gate_rows:
        return gate_rows(step);
      case Op::add:
        return add(step);
      case Op::scale:
        for (double& x : buffer(step.out))
          x *= double{find_.vector({Role::layer_scale, layer_})[0]};
        return;
      case Op::route:
        return route(step);
      case Op::combine:
        return combine(step);
    }
  }

  void norm(const NormPlan& n, double* x) const {
    norm_row(find_, {n.role, layer_}, n.kind, n.eps, n.width, x);
  }

  void norm(const Step& step) {
    Rows y = buffer(step.in);
    const NormPlan& n = plan_.norms[at(step.index)];
    for (size_t i = 0; i < y.size(); i += at(n.width)) norm(n, y.data() + i);
    Rows& out = output(step.out, step.adds);
    for (size_t i = 0; i < y.size(); ++i) out[i] += y[i];
  }

  void project(const Step& step) {
    const Site& site = plan_.site(step);
    for (const SiteMember& m : site.members) {
      output(m.out, step.adds);
      for (int64_t e = 0; e < plan_.copies(site); ++e) multiply(site, m, site.experts ? e : -1);
    }
    const Rows& gate = buffer(site.members.front().out);
    Rows& up = buffer(site.members.back().out);
    for (size_t i = 0; i < up.size() && step.end != LinearEnd::none; ++i)
      up[i] = ended(step.end, gate[i], up[i]);
    split(step.out), split(site.members.front().out);
  }

  void multiply(const Site& site, const SiteMember& m, int64_t expert) {
    const Matrix w = matrix(find_, {m.role, layer_, static_cast<int>(expert)});
    for (int64_t r = 0; r < rows_ * plan_.buffer(site.in).rows; ++r) {
      if (expert < 0 || chosen_[at(r)] == expert) w.add(row(site.in, r), row(m.out, r));
    }
  }

  // Buffers that are columns of this one.
  void split(BufferId of) {
    for (size_t i = 0; i < kBuffers; ++i) {
      const auto id = static_cast<BufferId>(i);
      const BufferPlan& b = plan_.buffer(id);
      if (b.within != of) continue;
      output(id, false);
      const int64_t piece = b.piece;
      for (int64_t r = 0; r < rows_; ++r) {
        for (int64_t c = 0; c < b.width; ++c)
          row(id, r)[c] = row(of, r)[b.first + c / piece * b.step + c % piece];
      }
    }
  }

  // Turns one head at position r; the sequence is all that there is of it.
  void turn(const Rotary& rotary, int64_t r, double* x) const {
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
  void prepare(BufferId id, int norm_index) {
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

  void activate(const Step& step) {
    const int64_t n = plan_.buffer(step.out).width;
    if (step.in == BufferId::gate) {
      for (size_t i = 0; i < buffer(step.out).size(); ++i)
        buffer(step.out)[i] =
            ended(step.end, double{step.scale} * buffer(step.in)[i], buffer(step.out)[i]);
      return;
    }
    output(step.out, false);
    for (int64_t r = 0; r < rows_; ++r) {
      for (int64_t c = 0; c < n; ++c)
        row(step.out, r)[c] = ended(step.end, row(step.in, r)[c], row(step.in, r)[n + c]);
    }
  }

  void gate(const Step& step) {
    for (size_t i = 0; i < buffer(step.out).size(); ++i)
      buffer(step.out)[i] /= 1 + std::exp(-buffer(step.in)[i]);
  }

  void gate_rows(const Step& step) {
    const std::vector<float> w = find_.vector({Role::shared_router, layer_});
    for (int64_t r = 0; r < rows_; ++r) {
      double dot = 0;
      for (size_t i = 0; i < w.size(); ++i) dot += double{w[i]} * row(step.in, r)[i];
      for (int64_t c = 0; c < plan_.buffer(step.out).width; ++c)
        row(step.out, r)[c] /= 1 + std::exp(-dot);
    }
  }

  void add(const Step& step) {
    const Rows x = buffer(step.in);
    Rows& out = output(step.out, step.adds);
    for (size_t i = 0; i < x.size(); ++i) out[i] += double{step.scale} * x[i];
  }

  // silu of the convolution of channels [channel, channel + out.size()), which stand in qkv from
  // `column` on.
  void convolve_head(std::span<const float> taps, int64_t r, int64_t channel, int64_t column,
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

  static void make_unit(double scale, Rows& x) {
    double sum = 1e-6;
    for (const double v : x) sum += v * v;
    for (double& v : x) v *= scale / std::sqrt(sum);
  }

  void delta(const Step& step) {
    output(step.out, false);
    for (int64_t head = 0; head < plan_.delta->shape.value_heads; ++head)
      delta_head(step.out, head);
  }

  void delta_head(BufferId out, int64_t head) {
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
      const double a =
          row(BufferId::delta_a, r)[plan.a_column(head)] + double{decay_bias[at(head)]};
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

  static double silu(double x) { return x / (1 + std::exp(-x)); }

  void mamba_convolve(const Step& step) {
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

  void mamba_scan(const Step& step) {
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
                                                                                   b + m.groups *
                                                                                           m.state;
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

  void mamba_gate(const Step& step) {
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

  void keys(const Step& step) {
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

  void attend(const Step& step) {
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

  void attend(const AttentionRule& rule, int64_t r, int64_t head, const float* sink) {
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

  void convolve(const Step& step) {
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

  void route(const Step& step) {
    const ExpertPlan& plan = *plan_.experts;
    const Matrix router = matrix(find_, {Role::router, layer_});
    output(step.out, false);
    for (int64_t r = 0; r < rows_; ++r) {
      Rows logits(at(plan.experts));
      router.add(row(plan.router_in, r), logits.data());
      for (double& v : logits) v *= plan.router.logit_scale;
      choose(logits);
      for (int64_t i = 0; i < plan.chosen; ++i)
        std::copy_n(row(step.in, r), plan_.buffer(step.in).width,
                    row(step.out, r * plan.chosen + i));
    }
  }

  void choose(const Rows& logits) {
    const ExpertPlan& plan = *plan_.experts;
    const Rows score = scores(plan, logits);
    Rows by = score;
    const std::vector<float> correction = find_.vector({Role::router_correction, layer_});
    for (size_t e = 0; e < correction.size(); ++e) by[e] += double{correction[e]};
    double sum = plan.router.floor;
    for (const int64_t e : largest(compared(plan, std::move(by)), plan.chosen)) {
      chosen_.push_back(e);
      weights_.push_back(score[at(e)]);
      sum += score[at(e)];
    }
    const std::vector<float> scale = find_.vector({Role::expert_scale, layer_});
    for (size_t i = weights_.size() - at(plan.chosen); i < weights_.size(); ++i) {
      weights_[i] *= plan.router.scale / (plan.router.normalize ? sum : 1);
      if (!scale.empty()) weights_[i] *= double{scale[at(chosen_[i])]};
    }
  }

  void combine(const Step& step) {
    const int64_t chosen = plan_.experts->chosen, width = plan_.buffer(step.in).width;
    output(step.out, step.adds);
    for (int64_t i = 0; i < rows_ * chosen; ++i) {
      for (int64_t c = 0; c < width; ++c)
        row(step.out, i / chosen)[c] += weights_[at(i)] * row(step.in, i)[c];
    }
  }

  const DecoderConfig& config_;
  const int layer_;
  const LayerPlan plan_;
  const ParameterFinder& find_;
  const int64_t rows_;
  std::array<Rows, kBuffers> buffers_;
  std::vector<int64_t> chosen_;  // of each row of the stream, the experts ...
  Rows weights_;                 // ... and the weights with which they come back
};

}  // namespace
}  // namespace nibble::reference

namespace nibble {

void run_reference_layer(const DecoderConfig& config, int layer, const ParameterFinder& find,
                         std::vector<double>& x) {
  reference::Steps(config, layer, find, x);
}

}  // namespace nibble
