// What a model can be written as: a Hugging Face folder in one of the layouts of quantized weights,
// an ONNX folder, or a GGUF file.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "nibble/model/model.h"

namespace nibble {

struct OutputFormat {
  std::string_view name = {};  ///< "gptq"; empty where nobody chose
  bool in_gguf = false;
  /// Of a folder; null: the first of format/list.inc that can say all of the model.
  const WeightLayout* layout = nullptr;
  bool in_onnx = false;  ///< a folder, of which it is the graph that others run

  /// What a model is quantized to for it where nobody says.
  std::string_view usual_scheme() const;
};

/// The names that there are: "compressed-tensors", "bitsandbytes", "gptq", ... "onnx", "gguf".
std::vector<std::string_view> output_formats();
/// By its name. Error{invalid_argument} listing them.
OutputFormat parse_output_format(std::string_view name);

struct OutputTarget {
  OutputFormat format;
  std::string path;
};
/// Where what goes. No format: a GGUF file where `out` is the name of one, else a folder. One: it
/// is `out`, with the end .gguf where it needs that. Several: each is `out` with its name behind,
/// "my-model-gptq", "my-model.gguf". Error{invalid_argument} for a format given twice, and for one
/// that is no GGUF file where `out` is the name of one.
std::vector<OutputTarget> output_targets(const std::string& out,
                                         std::span<const OutputFormat> formats);

/// The one target of at most one format.
OutputTarget output_target(const std::string& out, const std::optional<OutputFormat>& format);

/// Error{unsupported} where a format cannot hold these, before anything is computed.
void require_format(const Model& original, const std::vector<WritableParameter>& parameters,
                    const OutputFormat& format);

}  // namespace nibble
