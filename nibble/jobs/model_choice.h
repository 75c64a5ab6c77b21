// A model as callers name it: a folder, a file or a name, in the precision asked for.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "nibble/compress/quantize.h"
#include "nibble/core/exec.h"
#include "nibble/model/model.h"

namespace nibble {

/// What a model is made in: in memory, by round to nearest.
struct Precision {
  std::string scheme;             ///< "int8:a8", "bf16"; empty: as stored
  std::vector<std::string> keep;  ///< PATTERN[=DTYPE]: tensors that the scheme leaves plain
  std::vector<std::string> also;  ///< "lm_head", "embeddings": covered as well
};
/// Error{invalid_argument} for words that no scheme or rule is.
QuantizeOptions quantize_options(const Precision& precision);

struct ModelChoice {
  std::string model;  ///< as resolve_model() takes it
  Precision in;
  std::string activations;  ///< "a8": inputs of stored codes are rounded, too (with_activations.h)
  /// PATH[=WEIGHT] of LoRA adapters, which are put on what has been made in that precision
  /// (model/adapted_model.h).
  std::vector<std::string> adapters = {};
};
/// Opens it and, where a scheme is asked for, quantizes it tensor by tensor: the f32 model is never
/// held as a whole.
Model open_choice(const ModelChoice& choice, const Exec& exec);

/// What opening it found odd, its path before each line.
std::vector<std::string> warnings_of(const Model& model);

/// What keys and values are kept in: "f32", "f16" or "int8". Error{invalid_argument} for another.
DType parse_kv(std::string_view name);
std::string_view kv_name(DType kv);

}  // namespace nibble
