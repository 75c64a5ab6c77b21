// Forward and backward of a decoder of any architecture over the rows of one chunk: the one pair
// that reference mode (double), the gradient check and the trainer (float) share.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "nibble/train/batch.h"
#include "nibble/train/head_gradient.h"
#include "nibble/train/layer_gradient.h"

namespace nibble {

/// Something for every parameter of a decoder (as LayerParts); null: there is none.
template <class Matrix, class V>
struct DecoderParts {
  V *tokens = nullptr, *positions = nullptr;  ///< tables, [rows, hidden_size]
  /// The first of them as it is stored, where it is null.
  const StoredMatrix* stored_tokens = nullptr;
  NormParts<V> embedding_norm;
  std::vector<LayerParts<Matrix, V>> layers;
  HeadParts<Matrix, V> head;
};

/// What a decoder multiplies with. As of a layer, whoever makes it decides what a matrix is.
template <class T>
using DecoderView = DecoderParts<MatrixView<T>, const T>;
/// Where gradients of the same are added up.
template <class T>
using DecoderSlopes = DecoderParts<MatrixSlope<T>, T>;

/// Asks for each parameter once, as layer_parts() does; for a tied head by the key of the token
/// table.
template <class V, class MatrixOf, class VectorOf>
auto decoder_parts(const DecoderConfig& config, std::span<const LayerPlan> plans,
                   const MatrixOf& matrix, const VectorOf& vector) {
  DecoderParts<std::invoke_result_t<MatrixOf, ParamKey>, V> out;
  const auto norm = [&](Role role) {
    return NormParts<V>{vector(ParamKey{role}), vector(ParamKey{role, -1, -1, true})};
  };
  out.tokens = vector(ParamKey{Role::token_embedding});
  out.positions = vector(ParamKey{Role::position_embedding});
  out.embedding_norm = norm(Role::embedding_norm);
  for (size_t i = 0; i < plans.size(); ++i)
    out.layers.push_back(layer_parts<V>(plans[i], static_cast<int>(i), matrix, vector));
  out.head = {norm(Role::final_norm),
              matrix(ParamKey{config.tied ? Role::token_embedding : Role::lm_head})};
  return out;
}

/// Holds the activations of one chunk; one per thread. config, plans and ops must outlive it. Where
/// `recompute`, activations of one layer at a time: its backward pass runs it forward once more
/// (Chen et al. 2016).
template <class T>
class DecoderGradient {
 public:
  /// `plans`: what views were made by, training_plan() of each layer.
  DecoderGradient(const DecoderConfig& config, std::span<const LayerPlan> plans,
                  const TrainOps<T>& ops, bool recompute = false);

  /// Returns the sum of the losses over the chunk's targets, by the teacher's rows where there are
  /// some. The gradient of scale times it (1 / targets of the batch) is added to `into`, unless
  /// that is null.
  double run(const DecoderView<T>& w, const Batch& batch, const Chunk& chunk, T scale,
             const DecoderSlopes<T>* into, const TeacherRows<T>* teacher = nullptr);
  /// From now on run() descends that much of the experts' balance loss, too, of the chunk's rows in
  /// the share that its targets have; it is not in what run() returns.
  void balance_experts(double coefficient);
  /// The balance loss that the last run() has seen.
  double balance_loss() const { return balance_.loss(); }
  /// HeadGradient::label_loss() of the last run().
  double label_loss() const { return head_.label_loss(); }
  /// The residual stream behind the last layer, [rows of the chunk, hidden_size], until the next
  /// call.
  const T* stream(const DecoderView<T>& w, const Batch& batch, const Chunk& chunk) {
    return forward(w, batch, chunk);
  }
  /// The logits of the chunk's last row; they live until the next call.
  std::span<const T> logits(const DecoderView<T>& w, const Batch& batch, const Chunk& chunk);

 private:
  void reserve(int64_t rows);
  const T* forward(const DecoderView<T>& w, const Batch& batch, const Chunk& chunk);
  void backward(const DecoderView<T>& w, const DecoderSlopes<T>& into);
  const T* through_layers(const DecoderView<T>& w, const T* x);
  void back_through_layers(const DecoderView<T>& w, const DecoderSlopes<T>& into);
  LayerGradient<T>& layer(size_t i) { return *layers_[layer_of_[i]]; }
  void embed(const DecoderView<T>& w);
  void look_up(const DecoderView<T>& w, int32_t token, T* to);
  void embed_backward(const DecoderSlopes<T>& into, T* dx);

  const DecoderConfig& config_;
  const TrainOps<T>& ops_;
  const bool recompute_;
  std::vector<std::unique_ptr<LayerGradient<T>>>
      layers_;                     // where `recompute`, one for all with its plan
  std::vector<size_t> layer_of_;   // which of them runs a layer
  std::vector<Buffer<T>> inputs_;  // of each layer, where `recompute`
  HeadGradient<T> head_;
  ExpertBalance balance_;
  int64_t rows_ = 0, capacity_ = 0;
  std::span<const int32_t> token_, position_;  // of the chunk's rows
  std::vector<int64_t> starts_;
  RowNorm<T> norm_;  // of embeddings
  Buffer<T> embedded_, dx_, dembedded_;
  Buffer<float> looked_up_;  // a stored row
};

}  // namespace nibble
