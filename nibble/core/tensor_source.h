// Where weights come from: a file, a folder of shards, or memory. List them, take one, let it go
// again.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "nibble/core/tensor.h"

namespace nibble {

class TensorSource {
 public:
  virtual ~TensorSource() = default;
  /// Every tensor, in a fixed order (file order, or by name).
  virtual const std::vector<TensorInfo>& list() const = 0;
  virtual bool contains(std::string_view name) const = 0;
  /// The tensor's bytes, mapped where that is possible. Error{not_found} names a tensor that is
  /// absent.
  virtual Tensor get(std::string_view name) const = 0;
  /// Says that the bytes will not be needed again soon (a mapped file drops its pages).
  virtual void release(std::string_view /*name*/) const {}
  /// Bytes on disk of all the files behind it; for memory the bytes of the tensors.
  virtual int64_t file_bytes() const { return 0; }
};

/// Tensors in memory by name: what training makes and what writers take.
using TensorMap = std::map<std::string, Tensor, std::less<>>;

class MemorySource : public TensorSource {
 public:
  explicit MemorySource(TensorMap tensors);
  const std::vector<TensorInfo>& list() const override { return infos_; }
  bool contains(std::string_view name) const override {
    return tensors_.find(name) != tensors_.end();
  }
  Tensor get(std::string_view name) const override;
  int64_t file_bytes() const override;

 private:
  TensorMap tensors_;
  std::vector<TensorInfo> infos_;
};

}  // namespace nibble
