// Causal attention over a KV cache (Vaswani et al. 2017; grouped queries: Ainslie et al. 2023).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "nibble/core/exec.h"

namespace nibble {

struct AttentionShape {
  int64_t heads = 0;
  int64_t kv_heads = 0;  ///< divides heads
  int64_t head_dim = 0;
};

/// Keys and values of the tokens seen so far, for every layer: f32, [layer][position][kv_heads *
/// head_dim].
class KvCache {
 public:
  KvCache(int64_t layers, int64_t capacity, const AttentionShape& shape);
  /// Tokens in the cache, and how many there can be.
  int64_t length() const { return length_; }
  int64_t capacity() const { return capacity_; }
  void clear() { length_ = 0; }
  /// Makes room for m tokens more; every layer then writes its own rows. The caller checked the
  /// capacity.
  void advance(int64_t m) { length_ += m; }
  /// Writes m rows of keys and values behind position `start` of one layer.
  void write(int64_t layer, int64_t start, int64_t m, std::span<const float> k,
             std::span<const float> v);
  const float* keys(int64_t layer) const { return keys_.data() + layer * capacity_ * width_; }
  const float* values(int64_t layer) const { return values_.data() + layer * capacity_ * width_; }
  size_t memory_bytes() const { return (keys_.size() + values_.size()) * sizeof(float); }

 private:
  int64_t capacity_, width_, length_ = 0;
  std::vector<float> keys_, values_;
};

/// out[r] = softmax(q[r] K^T / sqrt(head_dim)) V over the cached positions 0 .. start + r, for m
/// rows of q [m, heads * head_dim]. Each (row, head) is computed alone, in position order.
void attend(std::span<const float> q, int64_t m, int64_t start, const KvCache& cache, int64_t layer,
            const AttentionShape& shape, std::span<float> out, const Exec& exec);

}  // namespace nibble
