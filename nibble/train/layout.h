// Where each parameter lies while it is trained: one flat array, matrices first (weight decay is
// theirs alone, a router's and a convolution's taps' too), q, k and v of a layer side by side so
// that one product can serve all three.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "nibble/core/tensor_source.h"
#include "nibble/train/decoder_gradient.h"

namespace nibble {

/// Offsets into the flat array; -1 stands for a parameter the model does not have.
struct MatrixSlot {
  int64_t weight = -1, bias = -1;
  int64_t n = 0, k = 0;
  int64_t transposed = -1;  ///< of its [k, ld] copy, in an array of its own
  int64_t ld = 0;
};

/// Whether it is neither a gain nor a bias.
inline bool is_weight(const ParamSpec& p) { return p.shape.rank() > 1; }

/// The flat array as the optimizer sees it.
struct FlatLayout {
  std::vector<ParamSpec> table;
  std::vector<int64_t> offsets;  ///< one for each row of the table
  int64_t matrices_end = 0;      ///< [0, matrices_end) are matrices; a multiple of kTrainAlign
  int64_t scales_begin = 0;      ///< [scales_begin, size) are scales of fake_quantizer.h
  float scale_rate = 1;          ///< their learning rate, as a share of that of weights
  std::vector<std::pair<int64_t, int64_t>> frozen;  ///< ranges that stay, in order
  int64_t size = 0;  ///< of the flat array, padding included; such a multiple too
  int64_t transposed_size = 0;
  std::vector<MatrixSlot> products;  ///< every matrix that rows are multiplied with

  /// Gives each row of `table` its offset, matrices first, each at a multiple of kTrainAlign except
  /// where `joined(row)` says that it follows its predecessor at once.
  void place(bool (*joined)(const ParamSpec&));
  /// Makes room for so many scales behind what there is; returns their offset.
  int64_t add_scales(int64_t count);
  /// Adds a matrix to `products`, with room for its transposed copy.
  void add_product(MatrixSlot slot);
};

struct ParamLayout : FlatLayout {
  DecoderConfig config;
  std::vector<LayerPlan> plans;           ///< training_plan() of each layer
  int only_layer = -1;                    ///< the one whose parameters these are; -1: all are
  std::map<ParamKey, size_t> rows;        ///< of the table, by key
  std::map<ParamKey, size_t> product_of;  ///< into products, by the keys of the plans
  std::vector<int64_t> product_of_row;    ///< the product that a row of the table is part of, or -1
};
ParamLayout make_layout(const DecoderConfig& config);
/// Of one layer alone: plans has its plan, and views have it as their only layer and no ends.
ParamLayout make_layout(const DecoderConfig& config, int layer);

/// Fills the transposed copies of every shares-th matrix of layout.products from number `share` on.
template <class T>
void transpose_weights(const FlatLayout& layout, const TrainOps<T>& ops, const T* weights,
                       T* transposed, int64_t share = 0, int64_t shares = 1);

/// What a decoder multiplies with: weights in a flat array, and the transposed copies of the same.
/// Matrices are read from `matrices`, an array with the same places, where that is another one.
template <class T>
DecoderView<T> view_of(const ParamLayout& layout, const T* weights, const T* transposed,
                       const T* matrices = nullptr);
/// The places of all gradients in a flat array.
template <class T>
DecoderSlopes<T> slopes_of(const ParamLayout& layout, T* gradient);

/// Fills the flat array with weights by name. Error{corrupt} for one of another shape, or that is
/// not finite.
void load_weights(const FlatLayout& layout, const WeightLoader& load, float* flat);

/// The flat array as tensors by stored name (f32).
template <class T>
TensorMap export_weights(const FlatLayout& layout, const T* flat);

}  // namespace nibble
