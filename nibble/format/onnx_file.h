// The initializers of an ONNX file, of which nothing else is looked at: what the graph does with
// them is not this reader's to say.
#pragma once

#include <memory>
#include <string>

#include "nibble/core/tensor_source.h"

namespace nibble {

class OnnxFile : public TensorSource {
 public:
  /// Of a tensor; null where there is none.
  virtual const TensorInfo* find(std::string_view name) const = 0;
  /// ModelProto.producer_name.
  virtual const std::string& producer() const = 0;
};

/// kOnnxModel of a folder, and the file beside it where the bytes of tensors lie. Both are mapped.
/// Every tensor's extents, type and place are checked first. Error{corrupt} with the byte offset or
/// the tensor; Error{unsupported} for types that nibble does not write, and for tensors in several
/// files.
std::unique_ptr<OnnxFile> open_onnx_file(const std::string& folder);

}  // namespace nibble
