// Forward and backward of one decoder block for one sequence, of every architecture that nibble
// opens. No gradients of weights: what is wanted is how the loss depends on the outputs of each
// projection, and on the block's input.
#pragma once

#include <cstdint>
#include <functional>

#include "nibble/train/attention_gradient.h"
#include "nibble/train/block_activation.h"
#include "nibble/train/block_weights.h"

namespace nibble {

/// Hears dL/d(outputs), [tokens, n], of each projection of a block: q, k, v (as the weights give
/// them, before norms and rotation, also where they are one matrix), o, gate, up, down.
template <class T>
using OutputGradients = std::function<void(Role, const T*)>;

/// Holds the activations of one sequence; one per thread. config and ops must outlive it. Rows that
/// are handed in lie in buffers with kTrainSlack behind them.
template <class T>
class BlockGradient {
 public:
  BlockGradient(const DecoderConfig& config, const TrainOps<T>& ops)
      : config_(config), ops_(ops), attention_(ops), products_(ops) {}

  /// out = the residual stream behind the block, from x in front of it; both [tokens, hidden_size],
  /// and may be the same. Keeps what backward needs.
  void forward(const BlockWeights<T>& w, int64_t tokens, const T* x, T* out);
  /// dx = dL/d(out) becomes dL/dx. May be called for several losses after one forward().
  void backward(const BlockWeights<T>& w, T* dx, const OutputGradients<T>& hear);

 private:
  struct Norm {
    Buffer<T> y, mean, rstd;
  };
  // Queries or keys: as projected, and as attention reads them.
  struct Heads {
    int64_t heads;
    Buffer<T> projected, turned, gradient;
    Norm norm;
  };
  void reserve(int64_t tokens);
  void compute_angles();
  TrainNorm<T> norm_task(const BlockNorm<T>& w, const T* x, Norm& n) const;
  TrainNorm<T> head_norm_task(const BlockNorm<T>& w, Heads& h) const;
  void linear(const BlockMatrix<T>& w, const T* x, T* y, bool accumulate);
  void linear_backward(const BlockMatrix<T>& w, const T* dy, T* dx, bool accumulate);
  void through_norm(const BlockNorm<T>& w, const T* x, Norm& n, T* dx);
  void turn(Heads& h, T scale, T direction, T* x) const;
  void prepare_heads(const BlockNorm<T>& w, T scale, Heads& h);
  const T* prepare_heads_backward(const BlockNorm<T>& w, T scale, Heads& h);
  AttentionTask<T> attention_task(const BlockWeights<T>& w) const;
  BlockActivation<T> activation_task();
  void mlp_backward(const BlockWeights<T>& w, T* dx, const OutputGradients<T>& hear);
  void attention_backward(const BlockWeights<T>& w, T* dx, const OutputGradients<T>& hear);

  const DecoderConfig& config_;
  const TrainOps<T>& ops_;
  AttentionGradient<T> attention_;
  BlockProducts<T> products_;
  int64_t tokens_ = 0, capacity_ = 0;
  Buffer<T> cos_, sin_;  // [capacity, head_dim / 2]
  Buffer<T> x_, middle_, attended_, v_, gate_, up_, activated_, kept_;
  Norm attn_norm_, mlp_norm_;
  Heads q_{}, k_{};
  Buffer<T> dnarrow_, dattended_, dprojected_, dv_, dactivated_, dgate_, dup_;
};

}  // namespace nibble
