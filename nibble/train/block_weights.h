// The weights of one decoder block as its gradient pass reads them: whatever their stored type, as
// T and each matrix beside its transposed copy.
#pragma once

#include <cstdint>

#include "nibble/model/decoder_build.h"
#include "nibble/train/buffer.h"

namespace nibble {

template <class T>
struct BlockMatrix {
  int64_t n = 0, k = 0, ld = 0;
  Buffer<T> weight;      ///< [n, k]; empty where the block has no such matrix
  Buffer<T> transposed;  ///< [k, ld]
  Buffer<T> bias;        ///< [n], or empty
};

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

/// Throws what ParameterFinder throws.
template <class T>
BlockWeights<T> load_block_weights(const DecoderConfig& config, const ParameterFinder& find,
                                   int layer, const TrainOps<T>& ops);

/// A weight as f32, [n * k], dequantized where it is stored quantized.
std::vector<float> floats_of(const Weight& weight);

}  // namespace nibble
