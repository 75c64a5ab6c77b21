// A model from one format into another: what its weights stand for is not chosen anew.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "nibble/core/dtype.h"
#include "nibble/core/exec.h"
#include "nibble/model/output_format.h"

namespace nibble {

struct ConvertOptions {
  /// f32, f16 or bf16 for every matrix; unset: each keeps its codes where the output can hold them,
  /// and becomes f16 where it cannot.
  std::optional<DType> to;
  /// What is written; unset: by the name of the output.
  std::optional<OutputFormat> format = std::nullopt;
  bool force = false;   ///< replace an existing output
  std::string command;  ///< the command line, for nibble.json
};

struct ConvertResult {
  std::string path;  ///< what was made
  int64_t file_bytes = 0, input_file_bytes = 0;
  int64_t packed = 0, plain = 0;     ///< matrices written with codes, as floats
  std::vector<std::string> changed;  ///< weights whose values are not those of the input
  std::vector<std::string> warnings;
  /// True where the output computes what the input does.
  bool lossless = true;
};

/// Writes the model `in` into output_target(out, options.format). Weights are read and written one
/// at a time, and what was written is read back. Error{invalid_argument} for another `to`,
/// Error{unsupported} where the format cannot hold the model.
ConvertResult convert_model(const std::string& in, const std::string& out,
                            const ConvertOptions& options, const Exec& exec);

}  // namespace nibble
