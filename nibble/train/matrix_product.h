// The products of a layer's gradient pass with one of its weights, forward and backward.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "nibble/train/buffer.h"

namespace nibble {

/// A weight W [n, k] as products read it: as T beside its transposed copy, or alone as bf16.
template <class T>
struct MatrixView {
  int64_t n = 0, k = 0, ld = 0;
  const T* weight = nullptr;         ///< [n, k]
  const T* transposed = nullptr;     ///< [k, ld]
  const uint16_t* narrow = nullptr;  ///< [n, k]; the two above are null then
  const T* bias = nullptr;           ///< [n], or null
};

/// Where the gradients of a weight and of its bias are added up; null: they are not asked for.
template <class T>
struct MatrixSlope {
  T *weight = nullptr, *bias = nullptr;
};

/// A weight and its bias in memory of their own.
template <class T>
struct TrainMatrix {
  int64_t n = 0, k = 0, ld = 0;
  Buffer<T> weight, transposed;
  std::vector<uint16_t> narrow;
  Buffer<T> bias;
  MatrixView<T> view() const;
};

/// Where `narrow`, as bf16: rows are then rounded, too, when they are multiplied, which takes half
/// the time and a quarter of the memory (only where has_bf16_products(), and T is float).
template <class T>
TrainMatrix<T> make_matrix(std::span<const float> weight, std::span<const float> bias, int64_t n,
                           bool narrow, const TrainOps<T>& ops);

template <class T>
Buffer<T> buffer_of(std::span<const float> values);

/// Scratch memory of one thread.
template <class T>
class MatrixProducts {
 public:
  explicit MatrixProducts(const TrainOps<T>& ops) : ops_(ops) {}
  /// y (+)= x W^T + b; x is [rows, k].
  void forward(const MatrixView<T>& w, int64_t rows, const T* x, T* y, bool accumulate);
  /// dx (+)= dy W; dy is [rows, n].
  void backward(const MatrixView<T>& w, int64_t rows, const T* dy, T* dx, bool accumulate);
  /// dW += dy^T x, db += sum of dy, as far as they are asked for.
  void weights(const MatrixView<T>& w, int64_t rows, const T* x, const T* dy,
               const MatrixSlope<T>& to);

 private:
  const uint16_t* rounded(const float* x, int64_t size);

  const TrainOps<T>& ops_;
  std::vector<uint16_t> rounded_;
};

}  // namespace nibble
