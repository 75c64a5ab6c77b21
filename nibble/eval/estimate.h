// What a model would need and how fast it could be, from its shape alone: nothing is loaded.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "nibble/model/config.h"
#include "nibble/quant/scheme.h"

namespace nibble {

struct EstimateOptions {
  DType plain = DType::bf16;  ///< of tensors that an integer scheme leaves as they are
  DType kv = DType::f32;      ///< of the KV cache: f32, f16 or i8
  int64_t context = 0;        ///< tokens in the cache; 0: the model's context
  int64_t prefill_chunk = 512;
  int threads = 1;
  bool head = false, embeddings = false;  ///< covered by the scheme as well
};

struct Estimate {
  QuantScheme scheme;
  int64_t memory_bytes = 0;   ///< all weights as loaded
  int64_t weight_bytes = 0;   ///< of them, read for each decoded token
  int64_t kv_bytes = 0;       ///< of the cache at the context
  int64_t scratch_bytes = 0;  ///< activations of a prefill
  int64_t total() const { return memory_bytes + kv_bytes + scratch_bytes; }
  /// Tokens a second when reading memory is all that takes time: behind nothing, and behind a full
  /// context whose cache is read as well. An upper bound.
  double tokens_per_second(double bandwidth) const;
  double tokens_per_second_full(double bandwidth) const;
};

/// A float scheme stands for every tensor; an integer one covers what quantizing covers (DESIGN
/// section 8).
Estimate estimate(const DecoderConfig& config, const QuantScheme& scheme,
                  const EstimateOptions& options);

/// Bytes of keys and values that one token adds to a cache of that type, over the layers that
/// attend, as KvCache lays them out. int8 has one f32 scale for each head's key and value.
int64_t kv_bytes_per_token(const DecoderConfig& config, DType kv);

/// Sizes that a shape is made of; what is 0 is chosen as models of that size have it.
struct ShapeOptions {
  double parameters = 0;  ///< 7e9
  int64_t layers = 0, width = 0, heads = 0, kv_heads = 0, intermediate = 0, vocab = 0, context = 0;
};
/// "7B", "124M", "1.1e9". Error{invalid_argument} where it is no positive number.
double parse_parameters(const std::string& text);
/// A Llama-shaped model (SwiGLU, 8/3 wide, untied, a layer for each 128 of width where neither is
/// given) of about that many parameters. Error{invalid_argument} where neither parameters nor
/// layers and width are given.
DecoderConfig llama_shape(const ShapeOptions& options);

}  // namespace nibble
