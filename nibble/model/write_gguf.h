// Writing a model as a GGUF file, for llama.cpp and what is built on it.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "nibble/model/model.h"

namespace nibble {

/// True for the name of a file that a model is to be written into as GGUF.
bool is_gguf_name(const std::string& path);

/// What a GGUF file says of how it came about, beside what it must.
struct GgufProvenance {
  std::string made_by;     ///< general.quantized_by
  std::string provenance;  ///< nibble.provenance: the text of nibble.json
  std::string type = {};   ///< the mixture that it is known by ("Q4_K_M"), where it is one
};

/// Error{unsupported} where GGUF cannot hold the model: an architecture that it does not have, a
/// scheme that no type holds. Before anything is computed.
void require_gguf(const Model& original, const std::vector<WritableParameter>& parameters);

/// Bytes of the file that write_gguf() makes without a provenance.
int64_t planned_gguf_bytes(const Model& original, const std::vector<WritableParameter>& parameters);

/// Writes `path`, which appears complete or not at all: the parameters, what the config says, the
/// tokenizer and the chat template of `original`. One parameter (of experts one stack) is in memory
/// at a time. Vectors and positions are stored as F32. Returns the bytes of the file. What could
/// not be carried over is added to `warnings`. `check` gets the file as a model before it appears;
/// its Error keeps it from appearing.
int64_t write_gguf(const Model& original, const std::string& path,
                   const std::vector<WritableParameter>& parameters,
                   const GgufProvenance& provenance, std::vector<std::string>& warnings,
                   const std::function<void(const Model& written)>& check = {});

}  // namespace nibble
