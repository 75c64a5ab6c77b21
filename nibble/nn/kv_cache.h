// KvCache: keys and values of the tokens seen so far, for every layer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>

#include "nibble/core/dtype.h"

namespace nibble {

struct AttentionShape {
  int64_t heads = 0;
  int64_t kv_heads = 0;  ///< divides heads
  int64_t head_dim = 0;
};

/// [layer][kv head][position][head_dim], f32 or f16: one head's keys lie side by side. Memory is
/// taken from the system as positions are written, not before.
class KvCache {
 public:
  /// Error{unsupported} for a dtype that is neither f32 nor f16.
  KvCache(int64_t layers, int64_t capacity, const AttentionShape& shape, DType dtype = DType::f32);
  /// Tokens in the cache, and how many there can be.
  int64_t length() const { return length_; }
  int64_t capacity() const { return capacity_; }
  DType dtype() const { return dtype_; }
  void clear() { length_ = 0; }
  /// Makes room for m tokens more; every layer then writes its own rows. The caller checked the
  /// capacity.
  void advance(int64_t m) { length_ += m; }
  /// Writes m rows of keys and values behind position `start` of one layer. Row r is [kv_heads *
  /// head_dim], at k + r * stride. In f16, values beyond its range become its largest ones.
  void write(int64_t layer, int64_t start, int64_t m, const float* k, const float* v,
             int64_t stride);
  /// The keys (values) of one head, [capacity, head_dim].
  const std::byte* keys(int64_t layer, int64_t head) const { return at(keys_.get(), layer, head); }
  const std::byte* values(int64_t layer, int64_t head) const {
    return at(values_.get(), layer, head);
  }
  /// Bytes of all positions, written or not.
  size_t memory_bytes() const { return 2 * bytes_; }

 private:
  struct Free {
    void operator()(std::byte* p) const { std::free(p); }
  };
  using Memory = std::unique_ptr<std::byte[], Free>;

  Memory allocate() const;
  template <class Byte>
  Byte* at(Byte* base, int64_t layer, int64_t head) const {
    return base + (layer * shape_.kv_heads + head) * capacity_ * row_bytes_;
  }

  int64_t capacity_, length_ = 0, row_bytes_;
  AttentionShape shape_;
  DType dtype_;
  size_t bytes_;
  Memory keys_, values_;
};

}  // namespace nibble
