// Writing a model as an ONNX folder: model.onnx, model.onnx.data, config.json, tokenizer, for
// onnxruntime, optimum and onnxruntime-genai.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "nibble/model/model.h"

namespace nibble {

/// Error{unsupported} where ONNX cannot hold the model: layers that the graph has no nodes for, a
/// scheme that no initializer holds. Before anything is computed.
void require_onnx(const Model& original, const std::vector<WritableParameter>& parameters);

/// Whether weights of a parameter can lie there in `scheme`.
bool fits_onnx(const ParamSpec& spec, const QuantScheme& scheme);

/// Writes the whole graph with its cache (onnx_decoder.h), the parameters and what goes with them
/// into `folder` (an AtomicFolder's path). One parameter is in memory at a time. Returns the bytes
/// of model.onnx and model.onnx.data. What could not be carried over is added to `warnings`.
int64_t write_onnx(const Model& original, const std::string& folder,
                   const std::vector<WritableParameter>& parameters,
                   std::vector<std::string>& warnings);

}  // namespace nibble
