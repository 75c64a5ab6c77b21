// A model and LoRA adapters as one model.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "nibble/core/exec.h"
#include "nibble/model/output_format.h"

namespace nibble {

struct MergeOptions {
  std::vector<std::string> adapters;  ///< PATH[=WEIGHT] (model/adapted_model.h)
  /// f32, f16 or bf16 for every matrix; or the scheme of those that `quantize` covers. Empty: each
  /// weight as the base stores it; codes of those that change are chosen anew, to the nearest.
  std::string to;
  /// What is written; unset: by the name of the output.
  std::optional<OutputFormat> format = std::nullopt;
  bool force = false;   ///< replace an existing output
  std::string command;  ///< the command line, for nibble.json
};

struct MergedOutput {
  std::string path;  ///< what was made
  int64_t file_bytes = 0, input_file_bytes = 0;
  int64_t changed = 0;                    ///< parameters that the adapters change
  int64_t quantized = 0;                  ///< matrices whose codes were chosen
  std::map<std::string, int64_t> stored;  ///< matrices by what they are stored in: "int4:g32"
  std::vector<std::string> warnings;
};

/// Writes the model `in` with its adapters merged into output_target(out, options.format): one
/// weight is in memory at a time, and what was written is read back. Errors before any work: no
/// adapter, one that does not fit, an output that is an input or exists without force, a scheme
/// that the output cannot hold or that nibble does not quantize to.
MergedOutput merge_adapters(const std::string& in, const std::string& out,
                            const MergeOptions& options, const Exec& exec);

}  // namespace nibble
