// The weights of one decoder block as its gradient pass reads them: whatever their stored type, as
// T and each matrix beside its transposed copy.
#pragma once

#include <cstdint>

#include "nibble/model/parameter_finder.h"
#include "nibble/train/block_product.h"

namespace nibble {

template <class T>
struct BlockNorm {
  Buffer<T> gain, bias;  ///< empty where the norm has none
};

template <class T>
struct BlockWeights {
  BlockMatrix<T> q, k, v;  ///< of a fused matrix its parts
  BlockMatrix<T> o, gate, up, down;
  BlockNorm<T> attn_norm, mlp_norm, q_norm, k_norm;
  int64_t window = 0;  ///< positions that a token sees, 0 = all
};

/// `narrow`: as make_matrix() has it, where the processor multiplies bf16. Throws what
/// ParameterFinder throws.
template <class T>
BlockWeights<T> load_block_weights(const DecoderConfig& config, const ParameterFinder& find,
                                   int layer, bool narrow, const TrainOps<T>& ops);

/// A weight as f32, [n * k], dequantized where it is stored quantized.
std::vector<float> floats_of(const Weight& weight);

}  // namespace nibble
