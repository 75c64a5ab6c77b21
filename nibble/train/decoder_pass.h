// Forward and backward of a decoder over the rows of one chunk: the one orchestration that
// reference mode (double), the gradient check and the trainer (float) share.
#pragma once

#include <cstdint>
#include <vector>

#include "nibble/kernels/train.h"
#include "nibble/train/batch.h"
#include "nibble/train/buffer.h"
#include "nibble/train/layout.h"

namespace nibble {

/// Fills the transposed copies of the matrices [first, last) of layout.products.
template <class T>
void transpose_weights(const ParamLayout& layout, const TrainOps<T>& ops, const T* weights,
                       T* transposed, int64_t first, int64_t last);

/// Holds the activations of one chunk; one per thread. layout and ops must outlive it.
template <class T>
class DecoderPass {
 public:
  DecoderPass(const ParamLayout& layout, const TrainOps<T>& ops) : layout_(layout), ops_(ops) {}
  /// Makes room for chunks of so many rows (sequences are at most context long).
  void reserve(int64_t rows);

  /// Returns the sum of the losses over the chunk's rows, and keeps what backward needs. scale is
  /// what each row's loss is multiplied with before it is differentiated (1 / rows of the batch).
  double forward(const T* weights, const T* transposed, const Batch& batch, const Chunk& chunk,
                 T scale);
  /// Adds the gradient of scale * (sum of losses) to `gradient`. After forward() on the same chunk.
  void backward(const T* weights, const Batch& batch, const Chunk& chunk, T* gradient);
  /// The logits of the chunk's rows, [rows, head.ld] with head.n in use, without touching the loss.
  /// Overwritten by forward().
  const T* logits(const T* weights, const T* transposed, const Batch& batch, const Chunk& chunk);

 private:
  struct Norm {
    Buffer<T> y, mean, rstd;
  };
  struct Layer {
    Norm attn_norm, mlp_norm;
    Buffer<T> x, qkv, p, attended, middle, up, activated;
  };
  Norm make_norm() const;
  TrainNorm<T> norm_task(const NormSlot& slot, const T* weights, const T* x, Norm& n) const;
  void norm(const NormSlot& slot, const T* weights, const T* x, Norm& n);
  void norm_backward(const NormSlot& slot, const T* weights, const T* x, Norm& n, const T* dy,
                     T* dx, T* gradient, bool accumulate);
  void linear(const MatrixSlot& m, const T* weights, const T* transposed, const T* x, T* y,
              int64_t ldy, bool accumulate);
  void linear_backward(const MatrixSlot& m, const T* weights, const T* x, const T* dy, int64_t ldy,
                       T* dx, T* gradient);
  void embed(const T* weights, const int32_t* token, const int32_t* position);
  void embed_backward(const int32_t* token, const int32_t* position, const T* dx, T* gradient);
  void block(size_t index, const T* weights, const T* transposed, const Batch&, const Chunk&,
             T* out);
  void block_backward(size_t index, const T* weights, const Batch&, const Chunk&, T* gradient);
  TrainAttention<T> attention_task(Layer& layer, const Batch&, const Chunk&, int64_t s) const;
  const T* last_input() const { return layout_.config.final_norm ? final_.y.data() : top_.data(); }
  T* layer_input(size_t index) {
    return index < layers_.size() ? layers_[index].x.data() : top_.data();
  }

  const ParamLayout& layout_;
  const TrainOps<T>& ops_;
  int64_t rows_ = 0, capacity_ = 0;
  Buffer<T> embedded_, top_, logits_, sum_, gap_;
  Norm embedding_, final_;
  std::vector<Layer> layers_;
  Buffer<T> dx_, dnarrow_, dwide_, dqkv_;
};

}  // namespace nibble
