// safetensors: reading (mapped, nothing trusted) and writing (atomic, sharded).
// docs/formats/safetensors.md.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "nibble/core/tensor_source.h"

namespace nibble {

/// One file. Every rule of the format is checked at open: header length and JSON, duplicate names,
/// shapes, dtype sizes, no hole, no overlap, no trailing bytes. Error{corrupt} names the tensor and
/// the reason.
std::unique_ptr<TensorSource> open_safetensors(const std::string& path);

/// A model folder: model.safetensors, or model.safetensors.index.json with its shards (every tensor
/// in exactly the shard the index says, no path that leaves the folder, symbolic links only into
/// the folder itself or, in a snapshot of the Hugging Face cache, to its blobs), or any single
/// *.safetensors. What is odd but harmless is added to `warnings`.
std::unique_ptr<TensorSource> open_safetensors_folder(const std::string& folder,
                                                      std::vector<std::string>* warnings = nullptr);

struct NamedTensor {
  std::string name;
  Tensor tensor;
};

/// Writes the tensors in the given order, packed, header padded to 8 bytes, metadata {"format":
/// "pt", ...}. `path` appears complete or not at all. Error{invalid_argument} for a name that is
/// empty, given twice or not UTF-8, or a header over the format's 100,000,000 bytes.
void write_safetensors(const std::string& path, const std::vector<NamedTensor>& tensors,
                       const std::map<std::string, std::string>& metadata = {});

/// Tensors whose bytes are produced only when their turn to be written comes, so that a model
/// larger than memory can be written.
struct LazyTensor {
  TensorInfo info;
  std::function<Tensor()> make;
};

/// Writes model.safetensors, or model-0000i-of-0000N.safetensors with their index where the bytes
/// of all tensors exceed shard_bytes, into `folder` (an AtomicFolder's path). A shard is filled in
/// the given order up to shard_bytes; a tensor larger than that has a shard of its own.
void write_safetensors_folder(const std::string& folder, const std::vector<LazyTensor>& tensors,
                              int64_t shard_bytes = int64_t{5} << 30);
/// Bytes of the tensor files that it would write, headers and all; nothing is made.
int64_t safetensors_folder_bytes(const std::vector<LazyTensor>& tensors,
                                 int64_t shard_bytes = int64_t{5} << 30);

}  // namespace nibble
