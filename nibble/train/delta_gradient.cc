// The heads of a delta layer (Yang et al. 2024, Gated DeltaNet), backward through time. A head's
// states are computed again, one head at a time.
#include <algorithm>
#include <cmath>

#include "nibble/train/gradient_step.h"
#include "nibble/train/silu.h"

namespace nibble {
namespace {

constexpr double kUnitEps = 1e-6;

template <class T>
class DeltaGradient : public GradientStep<T> {
 public:
  DeltaGradient(const StepRows<T>& r, const Step& step)
      : step_(step), plan_(*r.plan.delta), d_(plan_.shape), eps_(r.config.norm_eps) {
    const auto put = [&](int64_t channel, int64_t column, int64_t n) {
      for (int64_t i = 0; i < n; ++i) columns_[static_cast<size_t>(channel + i)] = column + i;
    };
    columns_.resize(static_cast<size_t>(d_.channels()));
    for (int64_t h = 0; h < d_.key_heads; ++h) {
      put(h * d_.key_dim, plan_.q_column(h), d_.key_dim);
      put(d_.keys() + h * d_.key_dim, plan_.k_column(h), d_.key_dim);
    }
    for (int64_t h = 0; h < d_.value_heads; ++h) put(v_channel(h), plan_.v_column(h), d_.value_dim);
  }

  void reserve(int64_t rows, int64_t longest) override {
    const int64_t heads = d_.value_heads, state = d_.key_dim * d_.value_dim;
    for (Buffer<T>* b : {&sums_, &dsums_}) *b = Buffer<T>(rows * d_.channels());
    for (Buffer<T>* b : {&read_, &mixed_}) *b = Buffer<T>(rows * d_.values());
    for (Buffer<T>* b : {&fade_, &write_}) *b = Buffer<T>(rows * heads);
    for (Buffer<T>* b : {&q_, &k_, &dq_, &dk_}) *b = Buffer<T>(longest * d_.key_dim);
    for (Buffer<T>* b : {&v_, &change_}) *b = Buffer<T>(longest * d_.value_dim);
    states_ = Buffer<T>((longest + 1) * state);
    dstate_ = Buffer<T>(state);
  }

  void forward(StepRows<T>& r) override {
    x_ = r.value(BufferId::qkv);
    stride_ = r.plan.buffer(BufferId::qkv).width;
    convolve(r);
    for_each_head(r, [&](int64_t first, int64_t tokens, int64_t head) {
      run_head(r, first, tokens, head);
      for (int64_t t = 0; t < tokens; ++t) give(r, first + t, head);
    });
    r.set(step_.out, mixed_.data());
  }

  void backward(StepRows<T>& r) override {
    for (const BufferId id :
         {BufferId::qkv, BufferId::delta_z, BufferId::delta_b, BufferId::delta_a}) {
      const BufferId whole = r.whole(id);
      if (!r.start(whole)) std::fill_n(r.slope(whole), r.size_of(whole), T{0});
    }
    dsums_.clear();
    for_each_head(r, [&](int64_t first, int64_t tokens, int64_t head) {
      run_head(r, first, tokens, head);
      dstate_.clear();
      for (int64_t t = tokens - 1; t >= 0; --t) back(r, first, t, head);
      from_unit(first, tokens, q_channel(head), query_scale(), dq_.data());
      from_unit(first, tokens, k_channel(head), T{1}, dk_.data());
    });
    convolve_backward(r);
    r.end(step_.out);
  }

 private:
  int64_t q_channel(int64_t head) const { return head / d_.shared() * d_.key_dim; }
  int64_t k_channel(int64_t head) const { return d_.keys() + q_channel(head); }
  int64_t v_channel(int64_t head) const { return 2 * d_.keys() + head * d_.value_dim; }
  T query_scale() const { return 1 / std::sqrt(T(d_.key_dim)); }
  T* state(int64_t t) { return states_.data() + t * d_.key_dim * d_.value_dim; }

  // f(first row, tokens, value head) of every sequence.
  template <class F>
  void for_each_head(const StepRows<T>& r, F f) {
    for (size_t s = 0; s + 1 < r.starts.size(); ++s) {
      for (int64_t head = 0; head < d_.value_heads; ++head)
        f(r.starts[s], r.starts[s + 1] - r.starts[s], head);
    }
  }

  // f(row, channel, tap, the row it reads).
  template <class F>
  void for_each_tap(const StepRows<T>& r, F f) const {
    for (size_t s = 0; s + 1 < r.starts.size(); ++s) {
      for (int64_t row = r.starts[s]; row < r.starts[s + 1]; ++row) {
        const int64_t before = row - r.starts[s];
        for (int64_t c = 0; c < d_.channels(); ++c) {
          for (int64_t t = std::max<int64_t>(0, d_.taps - 1 - before); t < d_.taps; ++t)
            f(row, c, t, row - d_.taps + 1 + t);
        }
      }
    }
  }
  void convolve(const StepRows<T>& r) {
    sums_.clear();
    for_each_tap(r, [&](int64_t row, int64_t c, int64_t t, int64_t from) {
      sums_[row * d_.channels() + c] +=
          r.weights->taps[c * d_.taps + t] * x_[from * stride_ + columns_[static_cast<size_t>(c)]];
    });
  }
  void convolve_backward(StepRows<T>& r) {
    T *const dx = r.slope(BufferId::qkv), *const dtaps = r.into == nullptr ? nullptr : r.into->taps;
    for_each_tap(r, [&](int64_t row, int64_t c, int64_t t, int64_t from) {
      const T d = dsums_[row * d_.channels() + c];
      const int64_t at = from * stride_ + columns_[static_cast<size_t>(c)];
      dx[at] += r.weights->taps[c * d_.taps + t] * d;
      if (dtaps != nullptr) dtaps[c * d_.taps + t] += x_[at] * d;
    });
  }

  // A unit vector, times `scale`, of what the convolution gave.
  void to_unit(const T* sums, T scale, T* out) const {
    T square = T(kUnitEps);
    for (int64_t i = 0; i < d_.key_dim; ++i) square += silu(sums[i]) * silu(sums[i]);
    for (int64_t i = 0; i < d_.key_dim; ++i) out[i] = silu(sums[i]) * scale / std::sqrt(square);
  }
  void from_unit(int64_t first, int64_t tokens, int64_t channel, T scale, const T* slopes) {
    for (int64_t t = 0; t < tokens; ++t, slopes += d_.key_dim) {
      const int64_t at = (first + t) * d_.channels() + channel;
      const T* const sums = sums_.data() + at;
      T square = T(kUnitEps), dot = 0;
      for (int64_t i = 0; i < d_.key_dim; ++i) {
        square += silu(sums[i]) * silu(sums[i]);
        dot += silu(sums[i]) * slopes[i];
      }
      for (int64_t i = 0; i < d_.key_dim; ++i)
        dsums_[at + i] += scale / std::sqrt(square) * (slopes[i] - silu(sums[i]) * dot / square) *
                          silu_slope(sums[i]);
    }
  }

  // The value of a buffer whose columns may be another one's.
  static T& element(T* whole, const StepRows<T>& r, BufferId id, int64_t row, int64_t column) {
    return whole[row * r.plan.buffer(r.whole(id)).width + column];
  }
  static T element(const T* whole, const StepRows<T>& r, BufferId id, int64_t row, int64_t column) {
    return whole[row * r.plan.buffer(r.whole(id)).width + column];
  }
  static T value(const StepRows<T>& r, BufferId id, int64_t row, int64_t column) {
    return element(r.value(r.whole(id)), r, id, row, column);
  }

  // States behind every token of a sequence, and what its queries read of them.
  void run_head(const StepRows<T>& r, int64_t first, int64_t tokens, int64_t head) {
    std::fill_n(state(0), d_.key_dim * d_.value_dim, T{0});
    for (int64_t t = 0; t < tokens; ++t) {
      const int64_t row = first + t;
      const T* const sums = sums_.data() + row * d_.channels();
      to_unit(sums + q_channel(head), query_scale(), q_.data() + t * d_.key_dim);
      to_unit(sums + k_channel(head), T{1}, k_.data() + t * d_.key_dim);
      for (int64_t j = 0; j < d_.value_dim; ++j)
        v_[t * d_.value_dim + j] = silu(sums[v_channel(head) + j]);
      const T a =
          value(r, BufferId::delta_a, row, plan_.a_column(head)) + r.weights->decay_bias[head];
      fade_[row * d_.value_heads + head] =
          std::exp(-std::exp(r.weights->decay[head]) * std::log1p(std::exp(a)));
      write_[row * d_.value_heads + head] =
          logistic(value(r, BufferId::delta_b, row, plan_.b_column(head)));
      advance(row, t, head);
    }
  }
  void advance(int64_t row, int64_t t, int64_t head) {
    const int64_t dk = d_.key_dim, dv = d_.value_dim;
    const T fade = fade_[row * d_.value_heads + head], write = write_[row * d_.value_heads + head];
    const T *const before = state(t), *const q = q_.data() + t * dk, *const k = k_.data() + t * dk;
    T *const now = state(t + 1), *const change = change_.data() + t * dv;
    T* const out = read_.data() + row * d_.values() + head * dv;
    std::fill_n(change, dv, T{0});
    for (int64_t i = 0; i < dk; ++i) {
      for (int64_t j = 0; j < dv; ++j) change[j] += fade * before[i * dv + j] * k[i];
    }
    for (int64_t j = 0; j < dv; ++j) change[j] = write * (v_[t * dv + j] - change[j]);
    std::fill_n(out, dv, T{0});
    for (int64_t i = 0; i < dk; ++i) {
      for (int64_t j = 0; j < dv; ++j) {
        now[i * dv + j] = fade * before[i * dv + j] + k[i] * change[j];
        out[j] += now[i * dv + j] * q[i];
      }
    }
  }

  T root(const T* read) const {
    T square = 0;
    for (int64_t j = 0; j < d_.value_dim; ++j) square += read[j] * read[j];
    return std::sqrt(square / T(d_.value_dim) + T(eps_));
  }

  // The gated norm of what a head read.
  void give(const StepRows<T>& r, int64_t row, int64_t head) {
    const int64_t dv = d_.value_dim;
    const T *const read = read_.data() + row * d_.values() + head * dv,
                   *const gain = r.weights->norms[static_cast<size_t>(plan_.norm)].gain;
    const T by = root(read);
    for (int64_t j = 0; j < dv; ++j)
      mixed_[row * d_.values() + head * dv + j] =
          read[j] / by * gain[j] * silu(value(r, BufferId::delta_z, row, plan_.z_column(head) + j));
  }

  // dL/d(read), into `out`, from dL/d(mixed).
  void give_backward(StepRows<T>& r, int64_t row, int64_t head, T* out) {
    const int64_t dv = d_.value_dim;
    const T *const read = read_.data() + row * d_.values() + head * dv,
                   *const gain = r.weights->norms[static_cast<size_t>(plan_.norm)].gain,
                   *const d = r.slope(step_.out) + row * d_.values() + head * dv;
    T* const dgain = r.norm_slope(plan_.norm).gain;
    T* const dz = r.slope(r.whole(BufferId::delta_z));
    const T by = root(read);
    T dot = 0;
    for (int64_t j = 0; j < dv; ++j) {
      const int64_t column = plan_.z_column(head) + j;
      const T z = value(r, BufferId::delta_z, row, column), normed = read[j] / by;
      element(dz, r, BufferId::delta_z, row, column) += d[j] * normed * gain[j] * silu_slope(z);
      if (dgain != nullptr) dgain[j] += d[j] * silu(z) * normed;
      out[j] = d[j] * silu(z) * gain[j];
      dot += out[j] * read[j];
    }
    for (int64_t j = 0; j < dv; ++j) out[j] = (out[j] - read[j] * dot / (by * by * T(dv))) / by;
  }

  // One token backward: dstate_ is that of the state behind it, and becomes that of the one before.
  void back(StepRows<T>& r, int64_t first, int64_t t, int64_t head) {
    const int64_t dk = d_.key_dim, dv = d_.value_dim, row = first + t;
    const T fade = fade_[row * d_.value_heads + head], write = write_[row * d_.value_heads + head];
    const T *const before = state(t), *const now = state(t + 1), *const q = q_.data() + t * dk,
                   *const k = k_.data() + t * dk, *const change = change_.data() + t * dv;
    T *const dq = dq_.data() + t * dk, *const dk_out = dk_.data() + t * dk;
    std::vector<T>&dread = row_[0], &dchange = row_[1];
    dread.resize(static_cast<size_t>(dv));
    dchange.assign(static_cast<size_t>(dv), T{0});
    give_backward(r, row, head, dread.data());
    for (int64_t i = 0; i < dk; ++i) {
      T to_q = 0, to_k = 0;
      for (int64_t j = 0; j < dv; ++j) {
        const auto c = static_cast<size_t>(j);
        T& ds = dstate_[i * dv + j];
        ds += q[i] * dread[c];
        to_q += now[i * dv + j] * dread[c];
        to_k += ds * change[j];
        dchange[c] += ds * k[i];
      }
      dq[i] = to_q;
      dk_out[i] = to_k;
    }
    // change = write (v - what the key recalls of the faded state).
    T dwrite = 0, dfade = 0;
    const int64_t at = row * d_.channels() + v_channel(head);
    for (int64_t j = 0; j < dv; ++j) {
      const T dc = dchange[static_cast<size_t>(j)];
      dwrite += dc * change[j];
      dsums_[at + j] += write * dc * silu_slope(sums_[at + j]);
    }
    for (int64_t i = 0; i < dk; ++i) {
      for (int64_t j = 0; j < dv; ++j) {
        const T dc = dchange[static_cast<size_t>(j)];
        T& ds = dstate_[i * dv + j];
        dk_out[i] -= write * dc * fade * before[i * dv + j];
        ds -= write * dc * k[i];
        dfade += ds * before[i * dv + j];
        ds *= fade;
      }
    }
    // The slope of write = sigmoid(b) is write (1 - write); change holds write once already.
    element(r.slope(r.whole(BufferId::delta_b)), r, BufferId::delta_b, row, plan_.b_column(head)) +=
        dwrite * (1 - write);
    fade_backward(r, row, head, dfade * fade);
  }

  // From dL/d(ln fade).
  void fade_backward(StepRows<T>& r, int64_t row, int64_t head, T slope) {
    const T a =
        value(r, BufferId::delta_a, row, plan_.a_column(head)) + r.weights->decay_bias[head];
    const T rate = std::exp(r.weights->decay[head]), da = -rate * logistic(a) * slope;
    element(r.slope(r.whole(BufferId::delta_a)), r, BufferId::delta_a, row, plan_.a_column(head)) +=
        da;
    if (r.into == nullptr) return;
    if (r.into->decay_bias != nullptr) r.into->decay_bias[head] += da;
    if (r.into->decay != nullptr) r.into->decay[head] -= rate * std::log1p(std::exp(a)) * slope;
  }

  const Step step_;
  const DeltaPlan plan_;
  const DeltaConfig d_;
  const double eps_;
  std::vector<int64_t> columns_;  // of qkv: where each channel of the convolution stands
  const T* x_ = nullptr;
  int64_t stride_ = 0;
  Buffer<T> sums_, dsums_;  // of the convolution, [rows, channels]
  Buffer<T> read_, mixed_;  // [rows, values]
  Buffer<T> fade_, write_;  // [rows, value heads]
  Buffer<T> q_, k_, dq_, dk_, v_, change_, states_, dstate_;  // of one head of a sequence
  std::vector<T> row_[2];
};

}  // namespace

NIBBLE_GRADIENT_STEP(make_delta_gradient, DeltaGradient);

}  // namespace nibble
