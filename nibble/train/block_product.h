// The products of a block's gradient pass with one of its weights, forward and backward.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "nibble/train/buffer.h"

namespace nibble {

/// A weight W [n, k] as T beside its transposed copy, or alone as bf16.
template <class T>
struct BlockMatrix {
  int64_t n = 0, k = 0, ld = 0;
  Buffer<T> weight;              ///< [n, k]
  Buffer<T> transposed;          ///< [k, ld]
  std::vector<uint16_t> narrow;  ///< [n, k]; the two above are empty then
  Buffer<T> bias;                ///< [n], or empty
};

/// Where `narrow`, as bf16: rows are then rounded, too, when they are multiplied, which takes half
/// the time and a quarter of the memory (only where has_bf16_products(), and T is float).
template <class T>
BlockMatrix<T> make_matrix(std::span<const float> weight, std::span<const float> bias, int64_t n,
                           bool narrow, const TrainOps<T>& ops);

template <class T>
Buffer<T> buffer_of(std::span<const float> values);

/// Scratch memory of one thread.
template <class T>
class BlockProducts {
 public:
  explicit BlockProducts(const TrainOps<T>& ops) : ops_(ops) {}
  /// y (+)= x W^T + b; x is [rows, k].
  void forward(const BlockMatrix<T>& w, int64_t rows, const T* x, T* y, bool accumulate);
  /// dx (+)= dy W; dy is [rows, n].
  void backward(const BlockMatrix<T>& w, int64_t rows, const T* dy, T* dx, bool accumulate);

 private:
  const uint16_t* rounded(const float* x, int64_t size);

  const TrainOps<T>& ops_;
  std::vector<uint16_t> rounded_;
};

}  // namespace nibble
