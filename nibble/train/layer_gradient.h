// Forward and backward of one layer of a decoder, of every architecture: its plan, step by step,
// and then the steps in reverse.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "nibble/train/gradient_step.h"

namespace nibble {

/// Holds the activations of some sequences; one per thread. config and ops must outlive it. Rows
/// that are handed in lie in buffers with kTrainSlack behind them.
template <class T>
class LayerGradient {
 public:
  /// `plan` is one of gradient_plan() and training_plan(): what the views of weights are for.
  LayerGradient(const DecoderConfig& config, LayerPlan plan, int layer, const TrainOps<T>& ops,
                std::shared_ptr<StepSlopes<T>> slopes = std::make_shared<StepSlopes<T>>());
  /// By the gradient_plan().
  LayerGradient(const DecoderConfig& config, int layer, const TrainOps<T>& ops)
      : LayerGradient(config, gradient_plan(config, layer), layer, ops) {}
  // Steps refer to what is in it.
  LayerGradient(const LayerGradient&) = delete;
  LayerGradient& operator=(const LayerGradient&) = delete;

  const LayerPlan& plan() const { return plan_; }
  /// Routers take part in it; it must outlive this.
  void balance(ExpertBalance* balance) { rows_.balance = balance; }
  /// MatrixProducts::begin() of what follows.
  void begin(int64_t first_row) { rows_.products.begin(first_row); }

  /// Returns the residual stream behind the layer, from x in front of it, both [rows, hidden_size];
  /// it lives until the next call. `starts` are the first rows of the sequences, each of which
  /// begins at position 0, and the end of the last. Keeps what backward needs; `w` and x must live
  /// until then.
  const T* forward(const LayerView<T>& w, std::span<const int64_t> starts, const T* x);
  /// For one sequence.
  const T* forward(const LayerView<T>& w, int64_t tokens, const T* x);

  /// dx = dL/d(what forward gave) becomes dL/dx. May be called for several losses after one
  /// forward(). `hear` may be empty. Gradients of weights are added to `into`, where there is one.
  void backward(T* dx, const OutputGradients<T>& hear, const LayerSlopes<T>* into = nullptr);

 private:
  void reserve(int64_t rows, int64_t longest);

  const LayerPlan plan_;
  StepRows<T> rows_;
  std::vector<int64_t> starts_;
  int64_t capacity_ = 0, longest_ = 0;
  std::shared_ptr<StepSlopes<T>> slopes_;
  std::vector<std::unique_ptr<GradientStep<T>>> steps_;
};

}  // namespace nibble
