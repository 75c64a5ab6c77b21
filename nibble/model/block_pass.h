// BlockPass: rows of one or several sequences on their way through the blocks. All of it is done by
// one team; the threads meet only where a step needs what others computed.
#pragma once

#include <cstdint>
#include <span>

#include "nibble/core/exec.h"
#include "nibble/core/team.h"
#include "nibble/model/config.h"
#include "nibble/nn/attention.h"
#include "nibble/nn/linear.h"
#include "nibble/nn/rotary.h"

namespace nibble {

/// One transformer block: attention and MLP, each behind a norm and added to the residual stream.
struct Block {
  std::vector<float> attn_gain, attn_bias, mlp_gain, mlp_bias;
  std::vector<float> q_gain, k_gain;  ///< [head_dim] where queries and keys have norms
  LinearGroup qkv, o, up, down;       ///< up holds gate and up where the MLP is gated
  int64_t window = 0;                 ///< positions that a token sees, 0 = all

  /// Workspace of the largest of its products.
  int64_t workspace_bytes(int64_t m, int64_t threads) const;
};

/// Rows that stand behind each other in a pass: those of one sequence, at positions start .. start
/// + rows - 1 of its cache.
struct SequenceRows {
  KvCache* cache = nullptr;
  int64_t start = 0, rows = 0;
};

/// out = norm(x) of one row [hidden_size] with the config's kind of norm; x and out may be the
/// same.
void normalize(const DecoderConfig& config, const float* x, std::span<const float> gain,
               std::span<const float> bias, float* out);

class BlockPass {
 public:
  /// Everything is referred to, not copied. Buffers are taken from `workspace`; products_bytes is
  /// the most that any of the products needs.
  BlockPass(const DecoderConfig& config, const Rotary& rotary,
            std::span<const SequenceRows> sequences, int threads, int64_t products_bytes,
            Workspace& workspace, const Exec& exec);

  int64_t rows() const { return m_; }
  /// The residual stream, [rows, hidden_size]: the caller fills it in.
  float* x() const { return x_; }
  /// [rows, hidden_size], free between blocks; workspace for products outside the blocks.
  float* h() const { return h_; }
  std::byte* products() const { return products_; }

  /// Computes the angles of this thread's share of the rows. Sync before a block runs.
  void prepare(const Team& team) const;
  /// One block, in place in x. `layer` is its place in the caches. With a team: all its threads
  /// call it with the same arguments. Without: each step has a team of its own, and between steps
  /// the observer hears what the products are about to read.
  void run(const Block& block, int64_t layer, Team* team) const;

  // The steps that run() is made of, in their order, for who must stand between them: every thread
  // of a team calls them with the same arguments and syncs behind each.

  /// h = norm(x), before the attention or before the MLP.
  void norm_attention(const Block& block, const Team& team) const;
  void norm_mlp(const Block& block, const Team& team) const;
  /// mixed = what the heads of this layer make of h; its keys and values go into the caches.
  void project(const Block& block, Team& team) const;
  void attend(const Block& block, int64_t layer, Team& team) const;
  /// x += o(mixed).
  void add_attention(const Block& block, Team& team) const;
  /// up = the activated (or gated) inside of the MLP of h.
  void widen(const Block& block, Team& team) const;
  /// x += down(up).
  void add_mlp(const Block& block, Team& team) const;

  /// [rows, heads * head_dim] and [rows, intermediate_size], between the steps above.
  float* mixed() const { return mixed_; }
  float* up() const { return up_; }

 private:
  template <class F>
  void step(Team* team, bool sync, F body) const;
  void norm_all(std::span<const float> gain, std::span<const float> bias, const Team& team) const;
  float* own_h(const Team& team) const;
  void observe(const LinearGroup& group, const float* x, Team* team) const;
  void prepare_row(const Block& block, int64_t layer, const SequenceRows& s, int64_t row,
                   int64_t position, int64_t kv_head) const;
  void attend_head(const Block& block, int64_t layer, int64_t kv_head, int64_t step,
                   const Team& team) const;
  LinearEnd end_of_mlp() const;

  const DecoderConfig& config_;
  const Rotary& rotary_;
  const std::span<const SequenceRows> sequences_;
  const Exec& exec_;
  const AttentionShape shape_;
  int threads_;
  int64_t m_ = 0;
  bool own_;  // few rows: each thread computes norms for itself
  float *x_, *h_, *q_, *k_, *v_, *mixed_, *gate_, *up_, *cos_, *sin_, *scratch_;
  std::byte* products_;
  int64_t q_stride_, kv_stride_, scratch_each_;
};

}  // namespace nibble
