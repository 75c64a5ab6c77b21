// The header of one GGUF file: metadata and tensor infos, every count and length checked.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "nibble/core/tensor.h"
#include "nibble/format/gguf_metadata.h"
#include "nibble/format/gguf_type.h"

namespace nibble {

struct GgufTensorInfo {
  std::string name;
  const GgufType* type = nullptr;
  Shape shape;
  size_t offset = 0, bytes = 0;  ///< in the file
};

struct GgufHeader {
  uint32_t version = 3;
  GgufMetadata metadata;
  std::vector<GgufTensorInfo> tensors;
};

/// Error{corrupt} names what does not fit: a key, a tensor. Values are views of `file`. Tensors lie
/// one behind the other; whether the file is long enough for them is not looked at.
GgufHeader read_gguf_header(std::span<const std::byte> file);

}  // namespace nibble
