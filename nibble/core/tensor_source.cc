#include "nibble/core/tensor_source.h"

#include <utility>

namespace nibble {

MemorySource::MemorySource(TensorMap tensors) : tensors_(std::move(tensors)) {
  for (const auto& [name, tensor] : tensors_)
    infos_.push_back({name, tensor.dtype(), tensor.shape()});
}

Tensor MemorySource::get(std::string_view name) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) throw not_found("no such tensor").at("tensor " + in_quotes(name));
  return found->second;
}

int64_t MemorySource::file_bytes() const {
  int64_t sum = 0;
  for (const auto& [name, tensor] : tensors_) sum += static_cast<int64_t>(tensor.bytes());
  return sum;
}

}  // namespace nibble
