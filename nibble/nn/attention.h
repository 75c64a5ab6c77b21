// Causal attention over a KV cache (Vaswani et al. 2017; grouped queries: Ainslie et al. 2023;
// sliding window: Beltagy et al. 2020).
#pragma once

#include <cstdint>
#include <span>

#include "nibble/core/exec.h"
#include "nibble/nn/kv_cache.h"

namespace nibble {

/// m queries behind position `start`; row r, [heads * head_dim], is at data + r * stride.
struct Queries {
  const float* data;
  int64_t stride;
  int64_t m;
  int64_t start;
};

/// out[r] = softmax(q[r] K^T / sqrt(head_dim)) V for each row, out [m, heads * head_dim]. Row r
/// sees the cached positions 0 .. start + r, or where `window` > 0 only the last `window` of them.
/// Each (row, head) is computed alone, in position order: its bytes depend on nothing else.
void attend(const Queries& q, const KvCache& cache, int64_t layer, const AttentionShape& shape,
            int64_t window, std::span<float> out, const Exec& exec);

}  // namespace nibble
