#include "nibble/train/attention_gradient.h"

#include <algorithm>
#include <cmath>

#include "nibble/train/softmax_row.h"

namespace nibble {
namespace {

constexpr int64_t kTile = 64;  // queries

template <class T>
int64_t first_key(const AttentionTask<T>& a, int64_t query) {
  return a.window == 0 ? 0 : std::max<int64_t>(0, query - a.window + 1);
}

// Where the key head of a query head begins in a row of keys.
template <class T>
int64_t kv_column(const AttentionTask<T>& a, int64_t head) {
  return head / (a.heads / a.kv_heads) * a.head_dim;
}

}  // namespace

template <class T>
void AttentionGradient<T>::reserve(int64_t tokens, int64_t kv_width) {
  ld_ = round_up(tokens, kTrainAlign);
  k_transposed_ = Buffer<T>(kv_width * ld_);
  v_transposed_ = Buffer<T>(kv_width * ld_);
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

// p = softmax(q k^T), 0 where a query does not see a key.
template <class T>
void AttentionGradient<T>::probabilities(const AttentionTask<T>& a, const Tile& t) {
  const int64_t width = a.heads * a.head_dim;
  ops_.product({t.rows, t.keys, a.head_dim, a.q + t.first * width + t.head * a.head_dim, width, 1,
                k_transposed_.data() + kv_column(a, t.head) * ld_ + t.key, ld_, p_.data(), ld_,
                false});
  if (a.softcap > 0) cap(a, t);
  for (int64_t r = 0; r < t.rows; ++r) {
    T* const row = p_.data() + r * ld_;
    const int64_t query = t.first + r, begin = first_key(a, query) - t.key, end = query + 1 - t.key;
    std::fill(row, row + begin, T{0});
    softmax_row(ops_, end - begin, row + begin);
    std::fill(row + end, row + t.keys, T{0});
  }
}

// Scores become softcapped ones (Gemma Team 2024); what slopes() needs of that is kept.
template <class T>
void AttentionGradient<T>::cap(const AttentionTask<T>& a, const Tile& t) {
  if (cap_slopes_.size() < p_.size()) cap_slopes_ = Buffer<T>(p_.size());
  for (int64_t r = 0; r < t.rows; ++r)
    soft_cap(a.softcap, t.keys, p_.data() + r * ld_, cap_slopes_.data() + r * ld_);
}

// dp = dL/d(scores). The sum over keys of p dL/dp is the dot product of the output and its
// gradient.
template <class T>
void AttentionGradient<T>::slopes(const AttentionTask<T>& a, const Tile& t, const T* out,
                                  const T* dout) {
  const int64_t width = a.heads * a.head_dim, at = t.first * width + t.head * a.head_dim;
  ops_.product({t.rows, t.keys, a.head_dim, dout + at, width, 1,
                v_transposed_.data() + kv_column(a, t.head) * ld_ + t.key, ld_, dp_.data(), ld_,
                false});
  for (int64_t r = 0; r < t.rows; ++r) {
    T mean = 0;
    for (int64_t d = 0; d < a.head_dim; ++d)
      mean += out[at + r * width + d] * dout[at + r * width + d];
    const T* const p = p_.data() + r * ld_;
    T* const dp = dp_.data() + r * ld_;
    for (int64_t u = 0; u < t.keys; ++u) dp[u] = p[u] * (dp[u] - mean);
    if (a.softcap == 0) continue;
    const T* const slope = cap_slopes_.data() + r * ld_;
    for (int64_t u = 0; u < t.keys; ++u) dp[u] *= slope[u];
  }
}

template <class T>
void AttentionGradient<T>::forward(const AttentionTask<T>& a, T* out) {
  const int64_t width = a.heads * a.head_dim, kv = a.kv_heads * a.head_dim;
  ops_.transpose(a.tokens, kv, a.k, k_transposed_.data(), ld_);
  for_each_tile(a, [&](const Tile& t) {
    probabilities(a, t);
    ops_.product({t.rows, a.head_dim, t.keys, p_.data(), ld_, 1,
                  a.v + t.key * kv + kv_column(a, t.head), kv,
                  out + t.first * width + t.head * a.head_dim, width, false});
  });
}

template <class T>
void AttentionGradient<T>::backward(const AttentionTask<T>& a, const T* out, const T* dout, T* dq,
                                    T* dk, T* dv) {
  const int64_t width = a.heads * a.head_dim, kv = a.kv_heads * a.head_dim;
  ops_.transpose(a.tokens, kv, a.k, k_transposed_.data(), ld_);
  ops_.transpose(a.tokens, kv, a.v, v_transposed_.data(), ld_);
  std::fill(dk, dk + a.tokens * kv, T{0});
  std::fill(dv, dv + a.tokens * kv, T{0});
  for_each_tile(a, [&](const Tile& t) {
    const int64_t query = t.first * width + t.head * a.head_dim;
    const int64_t key = t.key * kv + kv_column(a, t.head);
    probabilities(a, t);
    ops_.product(
        {t.keys, a.head_dim, t.rows, p_.data(), 1, ld_, dout + query, width, dv + key, kv, true});
    slopes(a, t, out, dout);
    ops_.product(
        {t.rows, a.head_dim, t.keys, dp_.data(), ld_, 1, a.k + key, kv, dq + query, width, false});
    ops_.product(
        {t.keys, a.head_dim, t.rows, dp_.data(), 1, ld_, a.q + query, width, dk + key, kv, true});
  });
}

template class AttentionGradient<float>;
template class AttentionGradient<double>;

}  // namespace nibble
