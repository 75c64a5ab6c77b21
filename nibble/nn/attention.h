// Causal attention over a KV cache (Vaswani et al. 2017; grouped queries: Ainslie et al. 2023;
// sliding window: Beltagy et al. 2020), with a running softmax over blocks of positions (Milakov
// and Gimelshein 2018; Dao et al. 2022).
#pragma once

#include <cstdint>
#include <span>

#include "nibble/core/exec.h"
#include "nibble/core/team.h"
#include "nibble/nn/kv_cache.h"

namespace nibble {

/// m queries behind position `start`; those of row r, one of head_dim for each head, are at data +
/// r * stride + head * head_stride.
struct Queries {
  const float* data;
  int64_t stride;
  int64_t m;
  int64_t start;
  int64_t head_stride = 0;  ///< 0: head_dim
};

/// How one layer attends.
struct AttentionRule {
  AttentionShape shape;
  int64_t window = 0;  ///< positions that a row sees, itself included; 0: all before it
  float scale = 0;     ///< scores are scale * q.k
  float softcap = 0;   ///< and then cap tanh(score / cap), where above 0
  /// Of each head, a score that takes part in softmax and whose value is nothing (Xiao et al. 2023,
  /// attention sinks, as gpt-oss learns them); null: none.
  const float* sinks = nullptr;
  bool operator==(const AttentionRule&) const = default;
};

/// One attention: queries against what is cached of one layer. Row r sees the positions 0 .. start
/// + r, or only a window of them. Each (row, head) gives the same bytes
/// whatever is computed beside it. Work is cut into tiles, numbered for each key head.
class Attention {
 public:
  Attention(const Queries& q, const KvCache& cache, int64_t layer, const AttentionRule& rule,
            float* out)
      : q_(q), cache_(cache), layer_(layer), rule_(rule), out_(out) {}
  /// Tiles of each key head.
  int64_t tiles() const;
  /// out[r] of the rows and heads of one tile; out is [m, heads * values()]. `scratch` has
  /// attend_scratch_floats(head_dim, values()).
  void run(int64_t kv_head, int64_t tile, float* scratch) const;

 private:
  const Queries q_;
  const KvCache& cache_;
  int64_t layer_;
  const AttentionRule& rule_;
  float* out_;
};

/// All of it: out[r] = softmax(scale q[r] K^T) V.
void attend(const Queries& q, const KvCache& cache, int64_t layer, const AttentionRule& rule,
            std::span<float> out, const Exec& exec);

}  // namespace nibble
