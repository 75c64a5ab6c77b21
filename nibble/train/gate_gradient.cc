// Gates that stand apart from products: halves of one matrix, what heads give, rows; and sums.
#include <algorithm>
#include <cmath>

#include "nibble/train/activation_gradient.h"
#include "nibble/train/gradient_step.h"
#include "nibble/train/silu.h"

namespace nibble {
namespace {

template <class T>
class ActivateGradient : public GradientStep<T> {
 public:
  ActivateGradient(const StepRows<T>& r, const Step& step)
      : step_(step), width_(r.plan.buffer(step.out).width) {}

  void reserve(int64_t rows, int64_t) override {
    for (Buffer<T>* b : {&gate_, &up_, &activated_}) *b = Buffer<T>(rows * width_);
    if (keeps_more(step_.end)) kept_ = Buffer<T>(rows * width_);
  }

  void forward(StepRows<T>& r) override {
    const T *const x = r.value(step_.in), *const own = halves() ? nullptr : r.value(step_.out);
    for (int64_t i = 0; i < r.rows * width_; ++i) {
      const int64_t at = halves() ? i / width_ * 2 * width_ + i % width_ : i;
      gate_[i] = T(step_.scale) * x[at];
      up_[i] = own != nullptr ? own[i] : x[at + width_];
    }
    activate(task(r), r.ops);
    r.set(step_.out, activated_.data());
  }

  void backward(StepRows<T>& r) override {
    if (dgate_.size() < r.rows * width_) dgate_ = Buffer<T>(gate_.size());
    T* const dup = r.slope(step_.out);
    activate_backward(task(r), dup, dgate_.data(), dup, r.ops);
    T* const dx = r.slope(step_.in);
    for (int64_t i = 0; i < r.rows * width_; ++i) {
      const int64_t at = halves() ? i / width_ * 2 * width_ + i % width_ : i;
      dx[at] = T(step_.scale) * dgate_[i];
      if (halves()) dx[at + width_] = dup[i];
    }
    r.start(step_.in);
    if (halves()) r.end(step_.out);
  }

 private:
  // Of one buffer, whose gate is not scaled; else `out` holds up, and becomes what is activated.
  bool halves() const { return step_.in != BufferId::gate; }
  ActivationTask<T> task(const StepRows<T>& r) {
    return {step_.end, r.rows * width_, gate_.data(), up_.data(), activated_.data(), kept_.data()};
  }

  const Step step_;
  const int64_t width_;
  Buffer<T> gate_, up_, activated_, kept_, dgate_;  // [rows, width]
};

// out *= sigmoid(in).
template <class T>
class GateGradient : public GradientStep<T> {
 public:
  GateGradient(const StepRows<T>& r, const Step& step)
      : step_(step), width_(r.plan.buffer(step.out).width) {}

  void reserve(int64_t rows, int64_t) override {
    for (Buffer<T>* b : {&open_, &gated_, &dgate_}) *b = Buffer<T>(rows * width_);
  }

  void forward(StepRows<T>& r) override {
    x_ = r.value(step_.out);
    r.gather(step_.in, open_.data());
    for (int64_t i = 0; i < r.rows * width_; ++i) {
      open_[i] = logistic(open_[i]);
      gated_[i] = x_[i] * open_[i];
    }
    r.set(step_.out, gated_.data());
  }

  void backward(StepRows<T>& r) override {
    T* const d = r.slope(step_.out);
    for (int64_t i = 0; i < r.rows * width_; ++i) {
      dgate_[i] = d[i] * gated_[i] * (1 - open_[i]);
      d[i] *= open_[i];
    }
    r.scatter(step_.in, dgate_.data());
  }

 private:
  const Step step_;
  const int64_t width_;
  const T* x_ = nullptr;
  Buffer<T> open_, gated_, dgate_;
};

// out *= sigmoid(w . in), a number for each row.
template <class T>
class GateRowsGradient : public GradientStep<T> {
 public:
  GateRowsGradient(const StepRows<T>& r, const Step& step)
      : step_(step), inputs_(r.plan.buffer(step.in).width), width_(r.plan.buffer(step.out).width) {}

  void reserve(int64_t rows, int64_t) override {
    open_ = Buffer<T>(rows);
    gated_ = Buffer<T>(rows * width_);
  }

  void forward(StepRows<T>& r) override {
    x_ = r.value(step_.in);
    const T* const y = r.value(step_.out);
    for (int64_t row = 0; row < r.rows; ++row) {
      T dot = 0;
      for (int64_t i = 0; i < inputs_; ++i) dot += r.weights->row_gate[i] * x_[row * inputs_ + i];
      open_[row] = logistic(dot);
      for (int64_t c = 0; c < width_; ++c)
        gated_[row * width_ + c] = y[row * width_ + c] * open_[row];
    }
    r.set(step_.out, gated_.data());
  }

  void backward(StepRows<T>& r) override {
    T *const d = r.slope(step_.out), *const dx = r.slope(step_.in);
    if (!r.start(step_.in)) std::fill_n(dx, r.rows * inputs_, T{0});
    T* const dw = r.into == nullptr ? nullptr : r.into->row_gate;
    for (int64_t row = 0; row < r.rows; ++row) {
      T ddot = 0;
      for (int64_t c = row * width_; c < (row + 1) * width_; ++c) {
        ddot += d[c] * gated_[c] * (1 - open_[row]);
        d[c] *= open_[row];
      }
      for (int64_t i = 0; i < inputs_; ++i) {
        dx[row * inputs_ + i] += ddot * r.weights->row_gate[i];
        if (dw != nullptr) dw[i] += ddot * x_[row * inputs_ + i];
      }
    }
  }

 private:
  const Step step_;
  const int64_t inputs_, width_;
  const T* x_ = nullptr;
  Buffer<T> open_, gated_;
};

// out = scale * in, or out += scale * in.
template <class T>
class AddGradient : public GradientStep<T> {
 public:
  AddGradient(const StepRows<T>& r, const Step& step)
      : step_(step), width_(r.plan.buffer(step.in).width) {}

  void reserve(int64_t rows, int64_t) override { sum_ = Buffer<T>(rows * width_); }

  void forward(StepRows<T>& r) override {
    const T *const x = r.value(step_.in), *const before = r.value(step_.out);
    for (int64_t i = 0; i < r.rows * width_; ++i)
      sum_[i] = T(step_.scale) * x[i] + (step_.adds ? before[i] : T{0});
    r.set(step_.out, sum_.data());
  }

  void backward(StepRows<T>& r) override {
    const T* const d = r.slope(step_.out);
    T* const dx = r.slope(step_.in);
    const bool more = r.start(step_.in);
    for (int64_t i = 0; i < r.rows * width_; ++i)
      dx[i] = T(step_.scale) * d[i] + (more ? dx[i] : T{0});
    if (!step_.adds) r.end(step_.out);
  }

 private:
  const Step step_;
  const int64_t width_;
  Buffer<T> sum_;
};

// out *= the layer's number.
template <class T>
class ScaleGradient : public GradientStep<T> {
 public:
  ScaleGradient(const StepRows<T>& r, const Step& step)
      : step_(step), width_(r.plan.buffer(step.out).width) {}

  void reserve(int64_t rows, int64_t) override { scaled_ = Buffer<T>(rows * width_); }

  void forward(StepRows<T>& r) override {
    x_ = r.value(step_.out);
    for (int64_t i = 0; i < r.rows * width_; ++i) scaled_[i] = r.weights->scale[0] * x_[i];
    r.set(step_.out, scaled_.data());
  }

  void backward(StepRows<T>& r) override {
    T* const d = r.slope(step_.out);
    T sum = 0;
    for (int64_t i = 0; i < r.rows * width_; ++i) {
      sum += d[i] * x_[i];
      d[i] *= r.weights->scale[0];
    }
    if (r.into != nullptr && r.into->scale != nullptr) r.into->scale[0] += sum;
  }

 private:
  const Step step_;
  const int64_t width_;
  const T* x_ = nullptr;
  Buffer<T> scaled_;
};

}  // namespace

NIBBLE_GRADIENT_STEP(make_scale_gradient, ScaleGradient);
NIBBLE_GRADIENT_STEP(make_activate_gradient, ActivateGradient);
NIBBLE_GRADIENT_STEP(make_gate_gradient, GateGradient);
NIBBLE_GRADIENT_STEP(make_gate_rows_gradient, GateRowsGradient);
NIBBLE_GRADIENT_STEP(make_add_gradient, AddGradient);

}  // namespace nibble
