// A model from one format into another: what its weights stand for is not chosen anew.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "nibble/core/dtype.h"
#include "nibble/core/exec.h"
#include "nibble/model/model.h"

namespace nibble {

struct ConvertOptions {
  /// f32, f16 or bf16 for every matrix; unset: each keeps its codes where the output can hold them,
  /// and becomes f16 where it cannot.
  std::optional<DType> to;
  bool force = false;   ///< replace an existing output
  std::string command;  ///< the command line, for nibble.json
};

struct ConvertResult {
  int64_t file_bytes = 0, input_file_bytes = 0;
  int64_t packed = 0, plain = 0;     ///< matrices written with codes, as floats
  std::vector<std::string> changed;  ///< weights whose values are not those of the input
  std::vector<std::string> warnings;
  /// True where the output computes what the input does.
  bool lossless = true;
};

/// Writes the model `in` into `out`, a folder, or a GGUF file by its name. Weights are read and
/// written one at a time, and what was written is read back. Error{invalid_argument} for another
/// `to`, Error{unsupported} where GGUF cannot hold the model.
ConvertResult convert_model(const std::string& in, const std::string& out,
                            const ConvertOptions& options, const Exec& exec);

}  // namespace nibble
