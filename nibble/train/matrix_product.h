// The products of a layer's gradient pass with one of its weights, forward and backward.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "nibble/quant/scheme.h"
#include "nibble/train/low_rank_product.h"
#include "nibble/train/stored_matrix.h"

namespace nibble {

/// A weight W [n, k] as products read it: as T beside its transposed copy, or as bf16, which goes
/// before: what it is multiplied with is then rounded to bf16 as well, sums are in f32, and the
/// other two may be null (only where has_bf16_products(), and T is float). Or as it is stored: then
/// all three are null. And what is added to it.
template <class T>
struct MatrixView {
  int64_t n = 0, k = 0, ld = 0;
  const T* weight = nullptr;             ///< [n, k]
  const T* transposed = nullptr;         ///< [k, ld]
  const uint16_t* narrow = nullptr;      ///< [n, k]
  const T* bias = nullptr;               ///< [n], or null
  const StoredMatrix* stored = nullptr;  ///< [n, k]
  std::span<const LowRankView<T>> added = {};
  /// How rows are rounded before they are multiplied, now; null: they are not.
  const ActivationType* inputs = nullptr;
};

/// Where the gradients of a weight and of its bias are added up; null: they are not asked for.
template <class T>
struct MatrixSlope {
  T *weight = nullptr, *bias = nullptr;
  T* added = nullptr;  ///< the flat array in which what is added has its places
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

/// Scratch memory of one thread. x and dx are [rows, k], y and dy [rows, n] with `ld` from one row
/// to the next (0: n; where there is a bias, or its gradient is asked for, n).
template <class T>
class MatrixProducts {
 public:
  explicit MatrixProducts(const TrainOps<T>& ops) : ops_(ops), stored_(ops), added_(ops) {}
  /// LowRankProducts::begin().
  void begin(int64_t first_row) { added_.begin(first_row); }
  /// y (+)= x W^T + b.
  void forward(const MatrixView<T>& w, int64_t rows, const T* x, T* y, bool accumulate,
               int64_t ld = 0);
  /// dx (+)= dy W.
  void backward(const MatrixView<T>& w, int64_t rows, const T* dy, T* dx, bool accumulate,
                int64_t ld = 0);
  /// dW += dy^T x, db += sum of dy, as far as they are asked for.
  void weights(const MatrixView<T>& w, int64_t rows, const T* x, const T* dy,
               const MatrixSlope<T>& to, int64_t ld = 0);

 private:
  const T* read(const MatrixView<T>& w, int64_t rows, const T* x);
  static const uint16_t* round(const float* x, int64_t size, std::vector<uint16_t>& to);

  const TrainOps<T>& ops_;
  std::vector<uint16_t> x_, y_;  // rounded
  Buffer<T> inputs_;             // rounded as MatrixView::inputs says
  StoredProducts<T> stored_;
  LowRankProducts<T> added_;
};

}  // namespace nibble
