// The steps of a Mamba2 layer (Dao and Gu 2024), backward through time. A head's states are
// computed again, one head at a time.
#include <algorithm>
#include <cmath>

#include "nibble/train/gradient_step.h"
#include "nibble/train/silu.h"

namespace nibble {
namespace {

// The slope of a buffer that several steps add to: nothing at first.
template <class T>
T* mamba_slope(StepRows<T>& r, BufferId id) {
  const BufferId whole = r.whole(id);
  if (!r.start(whole)) std::fill_n(r.slope(whole), r.size_of(whole), T{0});
  return r.slope(whole);
}

// Where column c of a row of a buffer stands in whole(id), whose columns are side by side.
template <class T>
int64_t mamba_place(const StepRows<T>& r, BufferId id, int64_t row, int64_t c) {
  return row * r.plan.buffer(r.whole(id)).width + r.plan.buffer(id).first + c;
}

template <class T>
class MambaConvolveGradient : public GradientStep<T> {
 public:
  MambaConvolveGradient(const StepRows<T>& r, const Step& step)
      : step_(step), m_(r.plan.mamba->shape) {}

  void reserve(int64_t rows, int64_t) override {
    for (Buffer<T>* b : {&sums_, &out_}) *b = Buffer<T>(rows * m_.channels());
  }

  void forward(StepRows<T>& r) override {
    const int64_t n = m_.channels();
    x_ = r.value(r.whole(step_.in));
    for (int64_t i = 0; i < r.rows * n; ++i)
      sums_[i] = r.weights->taps_bias == nullptr ? T{0} : r.weights->taps_bias[i % n];
    for_each_tap(r, [&](int64_t at, int64_t tap, int64_t from, T scale) {
      sums_[at] += scale * r.weights->taps[tap] * x_[from];
    });
    for (int64_t i = 0; i < r.rows * n; ++i) out_[i] = silu(sums_[i]);
    r.set(step_.out, out_.data());
  }

  void backward(StepRows<T>& r) override {
    const int64_t n = m_.channels();
    T *const dx = mamba_slope(r, step_.in), *const d = r.slope(step_.out);
    T* const dtaps = r.into == nullptr ? nullptr : r.into->taps;
    T* const dbias = r.into == nullptr ? nullptr : r.into->taps_bias;
    for (int64_t i = 0; i < r.rows * n; ++i) {
      d[i] *= silu_slope(sums_[i]);
      if (dbias != nullptr) dbias[i % n] += d[i];
    }
    for_each_tap(r, [&](int64_t at, int64_t tap, int64_t from, T scale) {
      dx[from] += scale * r.weights->taps[tap] * d[at];
      if (dtaps != nullptr) dtaps[tap] += scale * x_[from] * d[at];
    });
    r.end(step_.out);
  }

 private:
  // f(place of the sum, the tap, the place of what it reads, the channel's scale).
  template <class F>
  void for_each_tap(const StepRows<T>& r, F f) const {
    for (size_t s = 0; s + 1 < r.starts.size(); ++s) {
      for (int64_t row = r.starts[s]; row < r.starts[s + 1]; ++row) {
        const int64_t none = std::max<int64_t>(0, m_.taps - 1 - (row - r.starts[s]));
        for (int64_t c = 0; c < m_.channels(); ++c) {
          for (int64_t t = none; t < m_.taps; ++t)
            f(row * m_.channels() + c, c * m_.taps + t,
              mamba_place(r, step_.in, row - m_.taps + 1 + t, c), T(m_.channel_scale(c)));
        }
      }
    }
  }

  const Step step_;
  const MambaConfig m_;
  const T* x_ = nullptr;
  Buffer<T> sums_, out_;  // [rows, channels]
};

template <class T>
class MambaScanGradient : public GradientStep<T> {
 public:
  MambaScanGradient(const StepRows<T>& r, const Step& step)
      : step_(step), m_(r.plan.mamba->shape) {}

  void reserve(int64_t rows, int64_t longest) override {
    out_ = Buffer<T>(rows * m_.width());
    states_ = Buffer<T>((longest + 1) * each());
    dstate_ = Buffer<T>(each());
  }

  void forward(StepRows<T>& r) override {
    x_ = r.value(step_.in);
    for_each_head(
        r, [&](int64_t first, int64_t tokens, int64_t head) { run_head(r, first, tokens, head); });
    r.set(step_.out, out_.data());
  }

  void backward(StepRows<T>& r) override {
    dx_ = mamba_slope(r, step_.in);
    mamba_slope(r, BufferId::mamba_dt);
    for_each_head(r, [&](int64_t first, int64_t tokens, int64_t head) {
      run_head(r, first, tokens, head);
      dstate_.clear();
      for (int64_t t = tokens - 1; t >= 0; --t) back(r, first + t, t, head);
    });
    r.end(step_.out);
  }

 private:
  int64_t each() const { return m_.head_dim * m_.state; }
  T* state(int64_t t) { return states_.data() + t * each(); }
  int64_t x_at(int64_t row, int64_t head) const { return row * m_.channels() + head * m_.head_dim; }
  int64_t b_at(int64_t row, int64_t head) const {
    return row * m_.channels() + m_.width() + head / (m_.heads / m_.groups) * m_.state;
  }
  int64_t c_at(int64_t row, int64_t head) const { return b_at(row, head) + m_.groups * m_.state; }

  template <class F>
  void for_each_head(const StepRows<T>& r, F f) const {
    for (size_t s = 0; s + 1 < r.starts.size(); ++s) {
      for (int64_t head = 0; head < m_.heads; ++head)
        f(r.starts[s], r.starts[s + 1] - r.starts[s], head);
    }
  }

  // A token's time step before it is a positive number, and as it is.
  T raw_step(const StepRows<T>& r, int64_t row, int64_t head) const {
    return T(m_.scales[4]) *
               r.value(r.whole(BufferId::mamba_dt))[mamba_place(r, BufferId::mamba_dt, row, head)] +
           r.weights->decay_bias[head];
  }
  static T softplus(T x) { return x > 20 ? x : std::log1p(std::exp(x)); }
  T bounded(T step) const {
    step = std::max(step, T(m_.step_least));
    return m_.step_most > 0 ? std::min(step, T(m_.step_most)) : step;
  }

  void run_head(const StepRows<T>& r, int64_t first, int64_t tokens, int64_t head) {
    const int64_t d = m_.head_dim;
    std::fill_n(state(0), each(), T{0});
    for (int64_t t = 0; t < tokens; ++t) {
      const int64_t row = first + t;
      const T *const x = x_ + x_at(row, head), *const b = x_ + b_at(row, head),
                     *const c = x_ + c_at(row, head), *const before = state(t);
      const T step = bounded(softplus(raw_step(r, row, head)));
      const T fade = std::exp(-std::exp(r.weights->decay[head]) * step);
      T *const now = state(t + 1), *const y = out_.data() + row * m_.width() + head * d;
      for (int64_t j = 0; j < d; ++j) y[j] = r.weights->skip[head] * x[j];
      for (int64_t i = 0; i < m_.state; ++i) {
        for (int64_t j = 0; j < d; ++j) {
          now[i * d + j] = fade * before[i * d + j] + step * b[i] * x[j];
          y[j] += now[i * d + j] * c[i];
        }
      }
    }
  }

  // One token backward: dstate_ is that of the state behind it, and becomes that of the one before.
  void back(StepRows<T>& r, int64_t row, int64_t t, int64_t head) {
    const int64_t d = m_.head_dim;
    const T *const x = x_ + x_at(row, head), *const b = x_ + b_at(row, head),
                   *const c = x_ + c_at(row, head), *const before = state(t),
                   *const now = state(t + 1);
    T *const dx = dx_ + x_at(row, head), *const db = dx_ + b_at(row, head),
             *const dc = dx_ + c_at(row, head);
    const T* const dy = r.slope(step_.out) + row * m_.width() + head * d;
    const T step = bounded(softplus(raw_step(r, row, head)));
    const T fade = std::exp(-std::exp(r.weights->decay[head]) * step);
    T dfade = 0, dstep = 0, dskip = 0;
    for (int64_t j = 0; j < d; ++j) {
      dskip += dy[j] * x[j];
      dx[j] += r.weights->skip[head] * dy[j];
    }
    for (int64_t i = 0; i < m_.state; ++i) {
      T written = 0;
      for (int64_t j = 0; j < d; ++j) {
        T& ds = dstate_[i * d + j];
        dc[i] += now[i * d + j] * dy[j];
        ds += c[i] * dy[j];
        written += ds * x[j];
        dx[j] += step * b[i] * ds;
        dfade += ds * before[i * d + j];
        ds *= fade;
      }
      db[i] += step * written;
      dstep += b[i] * written;
    }
    give_steps(r, row, head, dstep, dfade * fade);
    if (r.into != nullptr && r.into->skip != nullptr) r.into->skip[head] += dskip;
  }

  // From dL/d(step) as the head writes with it, and dL/d(ln fade).
  void give_steps(StepRows<T>& r, int64_t row, int64_t head, T dstep, T slope) {
    const T raw = raw_step(r, row, head), free = softplus(raw), step = bounded(free);
    const T rate = std::exp(r.weights->decay[head]);
    const T draw = free == step ? (dstep - rate * slope) * logistic(raw) : T{0};
    r.slope(r.whole(BufferId::mamba_dt))[mamba_place(r, BufferId::mamba_dt, row, head)] +=
        T(m_.scales[4]) * draw;
    if (r.into == nullptr) return;
    if (r.into->decay_bias != nullptr) r.into->decay_bias[head] += draw;
    if (r.into->decay != nullptr) r.into->decay[head] -= rate * step * slope;
  }

  const Step step_;
  const MambaConfig m_;
  const T* x_ = nullptr;
  T* dx_ = nullptr;
  Buffer<T> out_, states_, dstate_;
};

template <class T>
class MambaGateGradient : public GradientStep<T> {
 public:
  MambaGateGradient(const StepRows<T>& r, const Step& step)
      : step_(step),
        plan_(*r.plan.mamba),
        m_(plan_.shape),
        group_(m_.width() / m_.groups),
        eps_(r.config.norm_eps) {}

  void reserve(int64_t rows, int64_t) override {
    for (Buffer<T>* b : {&gate_, &out_}) *b = Buffer<T>(rows * m_.width());
  }

  void forward(StepRows<T>& r) override {
    y_ = r.value(step_.out);
    r.gather(step_.in, gate_.data());
    for (int64_t i = 0; i < r.rows * m_.width(); ++i) gate_[i] *= T(m_.scales[0]);
    for (int64_t at = 0; at < r.rows * m_.width(); at += group_) {
      const T by = 1 / root(at);
      for (int64_t i = at; i < at + group_; ++i) out_[i] = y_[i] * silu(gate_[i]) * by * gain(r, i);
    }
    r.set(step_.out, out_.data());
  }

  void backward(StepRows<T>& r) override {
    T *const dz = mamba_slope(r, step_.in), *const d = r.slope(step_.out);
    T* const dgain = plan_.norm < 0 ? nullptr : r.norm_slope(plan_.norm).gain;
    for (int64_t at = 0; at < r.rows * m_.width(); at += group_) {
      const T by = root(at);
      T dot = 0;  // of what is normed and its slope
      for (int64_t i = at; i < at + group_; ++i) {
        const T value = y_[i] * silu(gate_[i]) / by;
        if (dgain != nullptr) dgain[i % m_.width()] += d[i] * value;
        dot += d[i] * gain(r, i) * value;
      }
      for (int64_t i = at; i < at + group_; ++i) {
        const T open = silu(gate_[i]), slope = d[i] * gain(r, i) / by;
        const T normed = m_.norm == GateNorm::none
                             ? T{0}
                             : inside(i) * dot / (by * by * T(group_));  // through the root
        const bool behind = m_.norm == GateNorm::behind;
        const T through = behind ? (slope - normed) * y_[i] : slope * y_[i];
        const int64_t row = i / m_.width();
        dz[mamba_place(r, step_.in, row, i % m_.width())] +=
            through * silu_slope(gate_[i]) * T(m_.scales[0]);
        d[i] = behind ? (slope - normed) * open : slope * open - normed;
      }
    }
  }

 private:
  // What the norm reads.
  T inside(int64_t i) const { return m_.norm == GateNorm::behind ? y_[i] * silu(gate_[i]) : y_[i]; }
  T root(int64_t at) const {
    if (m_.norm == GateNorm::none) return 1;
    T square = 0;
    for (int64_t i = at; i < at + group_; ++i) square += inside(i) * inside(i);
    return std::sqrt(square / T(group_) + T(eps_));
  }
  T gain(const StepRows<T>& r, int64_t i) const {
    return plan_.norm < 0 ? T{1}
                          : r.weights->norms[static_cast<size_t>(plan_.norm)].gain[i % m_.width()];
  }

  const Step step_;
  const MambaPlan plan_;
  const MambaConfig m_;
  const int64_t group_;
  const double eps_;
  const T* y_ = nullptr;
  Buffer<T> gate_, out_;
};

}  // namespace

NIBBLE_GRADIENT_STEP(make_mamba_convolve_gradient, MambaConvolveGradient);
NIBBLE_GRADIENT_STEP(make_mamba_scan_gradient, MambaScanGradient);
NIBBLE_GRADIENT_STEP(make_mamba_gate_gradient, MambaGateGradient);

}  // namespace nibble
