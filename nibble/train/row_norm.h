// A norm of rows, forward and backward, with what backward needs of forward.
#pragma once

#include "nibble/train/layer_weights.h"

namespace nibble {

template <class T>
class RowNorm {
 public:
  RowNorm() = default;
  RowNorm(NormKind kind, double eps, int64_t width) : kind_(kind), eps_(eps), width_(width) {}

  void reserve(int64_t rows) {
    y_ = Buffer<T>(rows * width_);
    mean_ = Buffer<T>(rows);
    rstd_ = Buffer<T>(rows);
  }
  /// Returns the norm of x, [rows, width] both; backward reads x again.
  const T* forward(const TrainOps<T>& ops, const NormView<T>& w, int64_t rows, const T* x) {
    rows_ = rows;
    x_ = x;
    ops.norm(task(w));
    return y_.data();
  }
  /// dx = what dy = dL/dy makes of it, or is added to by that; gradients of gain and bias go to
  /// `into`. What forward() gave is lost.
  void backward(const TrainOps<T>& ops, const NormView<T>& w, const T* dy, T* dx,
                const NormSlope<T>& into, bool adds) {
    ops.norm_backward(task(w), {dy, dx, into.gain, into.bias, adds});
  }

 private:
  TrainNorm<T> task(const NormView<T>& w) {
    return {
        rows_,        width_,      kind_ == NormKind::layer, T(eps_), x_, w.gain, w.bias, y_.data(),
        mean_.data(), rstd_.data()};
  }

  NormKind kind_ = NormKind::rms;
  double eps_ = 0;
  int64_t width_ = 0, rows_ = 0;
  const T* x_ = nullptr;
  Buffer<T> y_, mean_, rstd_;
};

}  // namespace nibble
