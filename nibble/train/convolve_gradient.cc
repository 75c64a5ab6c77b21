// The short convolution of a layer (LFM2, Liquid AI 2025).
#include <algorithm>

#include "nibble/train/gradient_step.h"

namespace nibble {
namespace {

template <class T>
class ConvolveGradient : public GradientStep<T> {
 public:
  ConvolveGradient(const StepRows<T>& r, const Step& step)
      : step_(step), plan_(*r.plan.convolution) {}

  void reserve(int64_t rows, int64_t) override {
    for (Buffer<T>* b : {&gated_, &sums_, &mixed_, &dsums_}) *b = Buffer<T>(rows * plan_.channels);
  }

  void forward(StepRows<T>& r) override {
    const int64_t n = plan_.channels;
    x_ = r.value(step_.in);
    for (int64_t i = 0; i < r.rows * n; ++i) gated_[i] = in(i, 0) * in(i, 2);
    for_each_row(r, [&](int64_t row, int64_t before) {
      for (int64_t c = 0; c < n; ++c) {
        T sum = r.weights->taps_bias == nullptr ? T{0} : r.weights->taps_bias[c];
        for_each_tap(before, [&](int64_t tap, int64_t back) {
          sum += r.weights->taps[c * plan_.taps + tap] * gated_[(row - back) * n + c];
        });
        sums_[row * n + c] = sum;
        mixed_[row * n + c] = in(row * n + c, 1) * sum;
      }
    });
    r.set(step_.out, mixed_.data());
  }

  void backward(StepRows<T>& r) override {
    const int64_t n = plan_.channels;
    const T* const dout = r.slope(step_.out);
    T* const dx = r.slope(step_.in);
    const auto at = [n](int64_t i, int64_t part) { return i / n * 3 * n + part * n + i % n; };
    for (int64_t i = 0; i < r.rows * n; ++i) {
      dsums_[i] = dout[i] * in(i, 1);
      dx[at(i, 1)] = dout[i] * sums_[i];
    }
    if (r.into != nullptr) weights(r);
    // What stands in dx of `gated` for now, where B goes.
    for (int64_t i = 0; i < r.rows * n; ++i) dx[at(i, 0)] = 0;
    for_each_row(r, [&](int64_t row, int64_t before) {
      for_each_tap(before, [&](int64_t tap, int64_t back) {
        for (int64_t c = 0; c < n; ++c)
          dx[at((row - back) * n + c, 0)] +=
              r.weights->taps[c * plan_.taps + tap] * dsums_[row * n + c];
      });
    });
    for (int64_t i = 0; i < r.rows * n; ++i) {
      const T dgated = dx[at(i, 0)];
      dx[at(i, 0)] = dgated * in(i, 2);
      dx[at(i, 2)] = dgated * in(i, 0);
    }
    r.start(step_.in);
    r.end(step_.out);
  }

 private:
  // B, C and x of a row lie behind each other; i counts through [rows, channels].
  T in(int64_t i, int64_t part) const {
    const int64_t n = plan_.channels;
    return x_[i / n * 3 * n + part * n + i % n];
  }
  // f(row, how many rows of its sequence stand before it).
  template <class F>
  void for_each_row(const StepRows<T>& r, F f) const {
    for (size_t s = 0; s + 1 < r.starts.size(); ++s) {
      for (int64_t row = r.starts[s]; row < r.starts[s + 1]; ++row) f(row, row - r.starts[s]);
    }
  }
  // f(tap, how many rows back it reads).
  template <class F>
  void for_each_tap(int64_t before, F f) const {
    for (int64_t tap = std::max<int64_t>(0, plan_.taps - 1 - before); tap < plan_.taps; ++tap)
      f(tap, plan_.taps - 1 - tap);
  }

  void weights(const StepRows<T>& r) const {
    const int64_t n = plan_.channels;
    for_each_row(r, [&](int64_t row, int64_t before) {
      for (int64_t c = 0; c < n; ++c) {
        if (r.into->taps_bias != nullptr) r.into->taps_bias[c] += dsums_[row * n + c];
        if (r.into->taps == nullptr) continue;
        for_each_tap(before, [&](int64_t tap, int64_t back) {
          r.into->taps[c * plan_.taps + tap] += dsums_[row * n + c] * gated_[(row - back) * n + c];
        });
      }
    });
  }

  const Step step_;
  const ConvolutionPlan plan_;
  const T* x_ = nullptr;
  Buffer<T> gated_, sums_, mixed_, dsums_;  // [rows, channels]
};

}  // namespace

NIBBLE_GRADIENT_STEP(make_convolve_gradient, ConvolveGradient);

}  // namespace nibble
