#include "nibble/train/attention_gradient.h"

#include <algorithm>
#include <cmath>

#include "nibble/train/soft_cap.h"

namespace nibble {
namespace {

constexpr int64_t kTile = 64;  // queries

template <class T>
int64_t first_key(const AttentionTask<T>& a, int64_t query) {
  return a.window == 0 ? 0 : std::max<int64_t>(0, query - a.window + 1);
}

// Where the key head of a query head begins in a row of keys, and in one of values.
template <class T>
int64_t k_column(const AttentionTask<T>& a, int64_t head) {
  return head / (a.heads / a.kv_heads) * a.head_dim;
}
template <class T>
int64_t v_column(const AttentionTask<T>& a, int64_t head) {
  return head / (a.heads / a.kv_heads) * a.value_dim;
}

}  // namespace

template <class T>
void AttentionGradient<T>::reserve(int64_t tokens, int64_t k_width, int64_t v_width) {
  ld_ = round_up(tokens, kTrainAlign);
  k_transposed_ = Buffer<T>(k_width * ld_);
  v_transposed_ = Buffer<T>(v_width * ld_);
  p_ = Buffer<T>(kTile * ld_);
  dp_ = Buffer<T>(kTile * ld_);
}

template <class T>
template <class F>
void AttentionGradient<T>::for_each_tile(const AttentionTask<T>& a, F f) {
  for (int64_t head = 0; head < a.heads; ++head) {
    for (int64_t first = 0; first < a.tokens; first += kTile) {
      const int64_t end = std::min(first + kTile, a.tokens), key = first_key(a, first);
      f(Tile{head, first, end - first, key, end - key});
    }
  }
}

// f(row of the tile, where the keys that its query sees begin and end in that row).
template <class T>
template <class F>
void AttentionGradient<T>::for_each_query(const AttentionTask<T>& a, const Tile& t, F f) {
  for (int64_t r = 0; r < t.rows; ++r)
    f(r, first_key(a, t.first + r) - t.key, t.first + r + 1 - t.key);
}

// p = softmax(scale q k^T), 0 where a query does not see a key.
template <class T>
void AttentionGradient<T>::probabilities(const AttentionTask<T>& a, const Tile& t) {
  ops_.product({t.rows, t.keys, a.head_dim, a.q + t.first * a.q_ld + t.head * a.head_dim, a.q_ld, 1,
                k_transposed_.data() + k_column(a, t.head) * ld_ + t.key, ld_, p_.data(), ld_,
                false});
  if (a.softcap > 0) cap(a, t);
  for_each_query(a, t, [&](int64_t r, int64_t begin, int64_t end) {
    T* const row = p_.data() + r * ld_;
    std::fill(row, row + begin, T{0});
    weigh(a, t.head, end - begin, row + begin);
    std::fill(row + end, row + t.keys, T{0});
  });
}

// Softmax of a query's scores, the one of its head's sink behind them.
template <class T>
void AttentionGradient<T>::weigh(const AttentionTask<T>& a, int64_t head, int64_t count,
                                 T* scores) {
  if (a.sinks != nullptr) scores[count++] = a.sinks[head] / a.scale;
  ops_.softmax(count, a.scale, scores);
}

// Scores become softcapped ones (Gemma Team 2024); what slopes() needs of that is kept.
template <class T>
void AttentionGradient<T>::cap(const AttentionTask<T>& a, const Tile& t) {
  if (cap_slopes_.size() < p_.size()) cap_slopes_ = Buffer<T>(p_.size());
  for (int64_t r = 0; r < t.rows; ++r)
    soft_cap(a.softcap, t.keys, p_.data() + r * ld_, cap_slopes_.data() + r * ld_);
}

// dp = dL/d(scores). More of all scores, the sink's included, changes nothing: its slope is what
// the others' lack to a sum of 0.
template <class T>
void AttentionGradient<T>::slopes(const AttentionTask<T>& a, const Tile& t, const T* dout,
                                  T* dsinks) {
  const int64_t width = a.heads * a.value_dim;
  ops_.product({t.rows, t.keys, a.value_dim, dout + t.first * width + t.head * a.value_dim, width,
                1, v_transposed_.data() + v_column(a, t.head) * ld_ + t.key, ld_, dp_.data(), ld_,
                false});
  for_each_query(a, t, [&](int64_t r, int64_t begin, int64_t end) {
    T* const dp = dp_.data() + r * ld_;
    std::fill(dp, dp + begin, T{0});
    ops_.softmax_backward(end - begin, a.scale, p_.data() + r * ld_ + begin, dp + begin);
    std::fill(dp + end, dp + t.keys, T{0});
    for (int64_t u = begin; u < end && dsinks != nullptr; ++u) dsinks[t.head] -= dp[u] / a.scale;
    if (a.softcap == 0) return;
    const T* const slope = cap_slopes_.data() + r * ld_;
    for (int64_t u = begin; u < end; ++u) dp[u] *= slope[u];
  });
}

template <class T>
void AttentionGradient<T>::forward(const AttentionTask<T>& a, T* out) {
  const int64_t width = a.heads * a.value_dim;
  ops_.transpose_rows(a.tokens, a.kv_heads * a.head_dim, a.k, a.k_ld, k_transposed_.data(), ld_);
  for_each_tile(a, [&](const Tile& t) {
    probabilities(a, t);
    ops_.product({t.rows, a.value_dim, t.keys, p_.data(), ld_, 1,
                  a.v + t.key * a.v_ld + v_column(a, t.head), a.v_ld,
                  out + t.first * width + t.head * a.value_dim, width, false});
  });
}

template <class T>
void AttentionGradient<T>::backward(const AttentionTask<T>& a, const T* dout, T* dq, T* dk, T* dv,
                                    T* dsinks) {
  const int64_t width = a.heads * a.value_dim, k = a.kv_heads * a.head_dim,
                v = a.kv_heads * a.value_dim;
  ops_.transpose_rows(a.tokens, k, a.k, a.k_ld, k_transposed_.data(), ld_);
  ops_.transpose_rows(a.tokens, v, a.v, a.v_ld, v_transposed_.data(), ld_);
  for (int64_t t = 0; t < a.tokens; ++t) {
    std::fill_n(dk + t * a.k_ld, k, T{0});
    std::fill_n(dv + t * a.v_ld, v, T{0});
  }
  for_each_tile(a, [&](const Tile& t) {
    const int64_t query = t.first * a.q_ld + t.head * a.head_dim;
    const int64_t key = t.key * a.k_ld + k_column(a, t.head),
                  value = t.key * a.v_ld + v_column(a, t.head);
    probabilities(a, t);
    ops_.product({t.keys, a.value_dim, t.rows, p_.data(), 1, ld_,
                  dout + t.first * width + t.head * a.value_dim, width, dv + value, a.v_ld, true});
    slopes(a, t, dout, dsinks);
    ops_.product({t.rows, a.head_dim, t.keys, dp_.data(), ld_, 1, a.k + key, a.k_ld, dq + query,
                  a.q_ld, false});
    ops_.product({t.keys, a.head_dim, t.rows, dp_.data(), 1, ld_, a.q + query, a.q_ld, dk + key,
                  a.k_ld, true});
  });
}

template class AttentionGradient<float>;
template class AttentionGradient<double>;

}  // namespace nibble
