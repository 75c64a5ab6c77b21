// genai_config.json: how onnxruntime-genai runs the graph of onnx_decoder.h.
#pragma once

#include <string>

#include "nibble/model/model.h"

namespace nibble {

/// Its text: the names of inputs and outputs, sizes, the tokens that begin and end a text by the
/// files that come with the model. Source: onnxruntime-genai 0.18, models/builders/base.py and
/// src/models/model_type.h, read 2026-11.
std::string genai_config(const Model& model);

}  // namespace nibble
