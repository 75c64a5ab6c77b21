// A matrix that products read in the form it is stored in: packed, in 16 bits or in floats; a few
// rows at a time become floats, never all of them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "nibble/quant/weight.h"
#include "nibble/train/buffer.h"

namespace nibble {

/// Rows of one weight, or of several with as many inputs, below each other. They must outlive it.
class StoredMatrix {
 public:
  void add(const Weight& weight, int64_t first, int64_t rows);
  int64_t rows() const { return parts_.empty() ? 0 : parts_.back().end; }
  /// Rows [first, first + count) as f32 [count, k], with kTrainSlack behind them: in `to`, or where
  /// they lie. `to` has room for them.
  const float* read(int64_t first, int64_t count, float* to) const;

 private:
  struct Part {
    const Weight* weight;
    int64_t first, end;  // its first row here, and behind its last
    int64_t from;        // row of the weight that the first is
  };
  const float* in_place(int64_t first, int64_t count) const;

  std::vector<Part> parts_;
};

/// Rows that are read together: what fits a processor's second cache.
int64_t rows_of_tile(int64_t n, int64_t k);

/// Products with such a matrix [n, k]. Scratch memory of one thread.
template <class T>
class StoredProducts {
 public:
  explicit StoredProducts(const TrainOps<T>& ops) : ops_(ops) {}
  /// y (+)= x W^T; x is [rows, k], y [rows, ld].
  void forward(const StoredMatrix& w, int64_t k, int64_t rows, const T* x, T* y, int64_t ld,
               bool accumulate);
  /// dx (+)= dy W; dy is [rows, ld].
  void backward(const StoredMatrix& w, int64_t k, int64_t rows, const T* dy, int64_t ld, T* dx,
                bool accumulate);
  /// f(first row, rows, those rows) of tile after tile.
  template <class F>
  void for_each_tile(const StoredMatrix& w, int64_t k, F f) {
    const int64_t n = w.rows(), most = rows_of_tile(n, k);
    if (tile_.size() < most * k) tile_ = Buffer<float>(most * k);
    for (int64_t first = 0; first < n; first += most) {
      const int64_t count = std::min(most, n - first);
      f(first, count, of_type(w.read(first, count, tile_.data()), count * k));
    }
  }

 private:
  const T* of_type(const float* tile, int64_t size);

  const TrainOps<T>& ops_;
  Buffer<float> tile_;
  Buffer<T> converted_, transposed_;
};

}  // namespace nibble
