// Where each parameter lies while it is trained: one flat array, matrices first (weight decay is
// theirs alone), q, k and v of a layer side by side so that one product serves all three.
#pragma once

#include <cstdint>
#include <vector>

#include "nibble/core/tensor_source.h"
#include "nibble/model/config.h"

namespace nibble {

/// Offsets into the flat array; -1 stands for a parameter the model does not have.
struct MatrixSlot {
  int64_t weight = -1, bias = -1;
  int64_t n = 0, k = 0;
  int64_t transposed = -1;  ///< of its [k, ld] copy, in an array of its own
  int64_t ld = 0;
};
struct NormSlot {
  int64_t gain = -1, bias = -1;
};
struct BlockSlots {
  NormSlot attn_norm, mlp_norm;
  MatrixSlot qkv, o, up, down;
};

/// The flat array as the optimizer sees it.
struct FlatLayout {
  std::vector<ParamSpec> table;
  std::vector<int64_t> offsets;  ///< one for each row of the table
  int64_t matrices_end = 0;      ///< [0, matrices_end) are matrices; a multiple of kTrainAlign
  int64_t size = 0;              ///< of the flat array, padding included; such a multiple too
  int64_t transposed_size = 0;
  std::vector<MatrixSlot> products;  ///< every matrix that rows are multiplied with

  /// Gives each row of `table` its offset, matrices first, each at a multiple of kTrainAlign except
  /// where `joined(row)` says that it follows its predecessor at once.
  void place(bool (*joined)(const ParamSpec&));
  /// Adds a matrix to `products`, with room for its transposed copy.
  void add_product(MatrixSlot& slot);
};

struct ParamLayout : FlatLayout {
  DecoderConfig config;

  int64_t wte = -1, wpe = -1;
  NormSlot embedding_norm, final_norm;
  MatrixSlot head;
  std::vector<BlockSlots> blocks;
};

/// Throws Error{unsupported} for what cannot be trained yet (rotary positions, gated MLP, grouped
/// key/value heads, exact GELU).
ParamLayout make_layout(const DecoderConfig& config);

/// The flat array as tensors by stored name (f32).
template <class T>
TensorMap export_weights(const FlatLayout& layout, const T* flat);

}  // namespace nibble
