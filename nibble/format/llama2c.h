// The .bin files of llama2.c (karpathy/llama2.c, export.py and run.c, read 2026-11): a header of
// sizes and the weights behind each other. docs/formats/llama2c.md.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "nibble/format/weight_source.h"

namespace nibble {

struct Llama2cHeader {
  int version = 0;  ///< 0 the legacy header of run.c, 1 f32, 2 int8 in groups (runq.c)
  int64_t dim = 0, hidden_dim = 0, layers = 0, heads = 0, kv_heads = 0;
  int64_t vocab_size = 0, context = 0;
  bool tied = false;  ///< the classifier is the token embedding
  int64_t group = 0;  ///< weights that share a scale; 0 where nothing is quantized
};

struct Llama2cFile {
  Llama2cHeader header;
  /// Named as a Hugging Face Llama checkpoint names them
  /// ("model.layers.0.self_attn.q_proj.weight"), the rows of q and k in its order. Matrices of
  /// version 2 are quantized, in the scheme int8:gGROUP with f32 scales.
  std::shared_ptr<const WeightSource> weights;
};

/// Error{corrupt} says which field of the header no model can have, or how long the file should be
/// for its header. No header makes it allocate more than the names of 10,000 layers.
Llama2cFile open_llama2c(const std::string& path);

}  // namespace nibble
