// Causal attention of one sequence and its backward pass, for every kind that a Decoder runs:
// grouped heads (Ainslie et al. 2023) and sliding windows (Beltagy et al. 2020). In tiles of
// queries whose probabilities are computed again by the backward pass (Dao et al. 2022), so that no
// matrix of all scores is kept.
#pragma once

#include <cstdint>

#include "nibble/train/buffer.h"

namespace nibble {

template <class T>
struct AttentionTask {
  int64_t tokens, heads, kv_heads;
  int64_t head_dim, value_dim;  ///< of queries and keys, of values
  int64_t window;               ///< positions that a token sees, itself included; 0 = all
  T softcap;                    ///< scores become cap tanh(score / cap), where above 0
  T scale;                      ///< of scores; with a softcap 1
  /// Rows of queries, of keys and of values, and of their gradients, are so far apart.
  int64_t q_ld, k_ld, v_ld;
  const T* q;                ///< [tokens, heads * head_dim]
  const T* k;                ///< [tokens, kv_heads * head_dim]
  const T* v;                ///< [tokens, kv_heads * value_dim]
  const T* sinks = nullptr;  ///< [heads], as AttentionRule has them; null: none
};

/// Scratch memory of one thread.
template <class T>
class AttentionGradient {
 public:
  explicit AttentionGradient(const TrainOps<T>& ops) : ops_(ops) {}
  /// Makes room for sequences of so many tokens (one more where there are sinks), with rows of keys
  /// and of values so wide.
  void reserve(int64_t tokens, int64_t k_width, int64_t v_width);

  /// out [tokens, heads * value_dim] = softmax(scale q k^T) v for every head.
  void forward(const AttentionTask<T>& a, T* out);
  /// dq, dk, dv = dL/d(q, k, v), all of them written, from dout = dL/dout; dsinks += dL/d(sinks),
  /// where it is not null.
  void backward(const AttentionTask<T>& a, const T* dout, T* dq, T* dk, T* dv, T* dsinks = nullptr);

 private:
  // Queries [first, first + rows) of one head and the keys [key, key + keys) that they see.
  struct Tile {
    int64_t head, first, rows, key, keys;
  };
  template <class F>
  void for_each_tile(const AttentionTask<T>& a, F f);
  template <class F>
  void for_each_query(const AttentionTask<T>& a, const Tile& t, F f);
  void probabilities(const AttentionTask<T>& a, const Tile& t);
  void cap(const AttentionTask<T>& a, const Tile& t);
  void weigh(const AttentionTask<T>& a, int64_t head, int64_t count, T* scores);
  void slopes(const AttentionTask<T>& a, const Tile& t, const T* dout, T* dsinks);

  const TrainOps<T>& ops_;
  int64_t ld_ = 0;                         // of everything with a column for each key
  Buffer<T> k_transposed_, v_transposed_;  // [k_width, ld], [v_width, ld]
  Buffer<T> p_, dp_;                       // [kTile, ld]
  Buffer<T> cap_slopes_;                   // the same, of softcapped scores
};

}  // namespace nibble
