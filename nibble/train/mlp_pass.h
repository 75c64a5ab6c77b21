// Forward and backward of an MLP over the rows of one chunk.
#pragma once

#include <cstdint>
#include <vector>

#include "nibble/kernels/train.h"
#include "nibble/model/mlp.h"
#include "nibble/train/buffer.h"
#include "nibble/train/layout.h"

namespace nibble {

struct MlpLayout : FlatLayout {
  MlpConfig config;
};
/// Throws Error{invalid_argument} where there are fewer than two sizes or one is out of range.
MlpLayout make_layout(const MlpConfig& config);

/// Holds the activations of one chunk; one per thread. layout and ops must outlive it.
template <class T>
class MlpPass {
 public:
  MlpPass(const MlpLayout& layout, const TrainOps<T>& ops) : layout_(layout), ops_(ops) {}
  void reserve(int64_t rows);
  /// Where the caller puts the inputs [rows, sizes.front()] before run().
  T* inputs() { return activations_.front().data(); }
  /// Returns the sum of the losses and adds the gradient of scale times it to `gradient`.
  double run(const T* weights, const T* transposed, int64_t rows, const int32_t* targets, T scale,
             T* gradient);

 private:
  void forward(const T* weights, const T* transposed, int64_t rows);
  void backward(const T* weights, int64_t rows, T* gradient);

  const MlpLayout& layout_;
  const TrainOps<T>& ops_;
  int64_t capacity_ = 0;
  std::vector<Buffer<T>> activations_;  ///< inputs, hidden layers behind ReLU, outputs
  std::vector<Buffer<T>> slopes_;       ///< gradients at the same places (none at the inputs)
  Buffer<T> sum_, gap_;
};

}  // namespace nibble
