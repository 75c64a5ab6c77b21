// What a low-rank change adds to the products with a weight (LoRA, Hu et al. 2021), forward and
// backward: y += s x A^T B^T.
#pragma once

#include <cstdint>

#include "nibble/train/buffer.h"

namespace nibble {

/// Which inputs of adapters are dropped in a step (Srivastava et al. 2014); the others grow by
/// 1 / (1 - share). What is dropped follows from seed, step, adapter, row and column alone.
struct LowRankDropout {
  double share = 0;
  uint64_t seed = 0;
  int64_t step = 0;
};

/// A change s B A of outputs [first, first + n) of a matrix with k inputs.
template <class T>
struct LowRankView {
  int64_t first = 0, n = 0, k = 0, r = 0;
  T scale = 1;
  const T* a = nullptr;              ///< [r, k]
  const T* b = nullptr;              ///< [n, r]
  const T* a_transposed = nullptr;   ///< [k, a_ld]
  const T* b_transposed = nullptr;   ///< [r, b_ld]
  int64_t a_ld = 0, b_ld = 0;        ///< at least r, n
  int64_t a_slope = 0, b_slope = 0;  ///< where their gradients lie in the flat array
  const LowRankDropout* dropout = nullptr;
  uint64_t number = 0;  ///< of the adapter, for dropout
};

/// Scratch memory of one thread. y and dy are the matrix's, [rows, ld], all of its outputs.
template <class T>
class LowRankProducts {
 public:
  explicit LowRankProducts(const TrainOps<T>& ops) : ops_(ops) {}
  /// Rows that follow are numbered from here in what dropout makes of them; below 0 nothing is
  /// dropped.
  void begin(int64_t first_row) { first_row_ = first_row; }
  void forward(const LowRankView<T>& w, int64_t rows, const T* x, T* y, int64_t ld);
  /// dx += what comes of dy.
  void backward(const LowRankView<T>& w, int64_t rows, const T* dy, int64_t ld, T* dx);
  /// Adds the gradients of A and B to their places in the flat array.
  void weights(const LowRankView<T>& w, int64_t rows, const T* x, const T* dy, int64_t ld,
               T* gradient);

 private:
  bool drops(const LowRankView<T>& w) const { return w.dropout != nullptr && first_row_ >= 0; }
  const T* read(const LowRankView<T>& w, int64_t rows, const T* x);
  void down(const LowRankView<T>& w, int64_t rows, const T* x);
  void down_slopes(const LowRankView<T>& w, int64_t rows, const T* dy, int64_t ld);
  template <class F>
  void for_each_kept(const LowRankView<T>& w, int64_t rows, F f) const;

  const TrainOps<T>& ops_;
  int64_t first_row_ = -1;
  Buffer<T> thin_, thin_slopes_;  // s x A^T and s dy B, [rows, r]
  Buffer<T> wide_;                // inputs as dropout leaves them, or their gradient, [rows, k]
};

}  // namespace nibble
