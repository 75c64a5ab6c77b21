#include "nibble/quant/feedback.h"

#include <algorithm>
#include <numeric>

#include "nibble/core/checked.h"
#include "nibble/core/parallel.h"
#include "nibble/quant/dense.h"

namespace nibble {
namespace {

constexpr int64_t kRowsOfPiece = 64;  // of one piece of work

}  // namespace

std::vector<int64_t> rounding_order(const float* h, int64_t k, bool sorted) {
  std::vector<int64_t> order(static_cast<size_t>(k));
  std::iota(order.begin(), order.end(), 0);
  if (!sorted) return order;
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t i, int64_t j) { return h[i * k + i] > h[j * k + j]; });
  return order;
}

bool make_feedback(const float* h, int64_t ldh, std::span<const int64_t> order, int threads,
                   Feedback& out) {
  const auto k = static_cast<int64_t>(order.size());
  const auto at = [&order, k](int64_t i) { return order[static_cast<size_t>(k - 1 - i)]; };
  // The lower factor of the reversed matrix, reversed again, is the upper factor.
  std::vector<float> l(static_cast<size_t>(k * k));
  parallel_for(ceil_div(k, kRowsOfPiece), threads, [&](int64_t piece) {
    for (int64_t i = piece * kRowsOfPiece; i < std::min((piece + 1) * kRowsOfPiece, k); ++i)
      for (int64_t j = 0; j < k; ++j) l[static_cast<size_t>(i * k + j)] = h[at(i) * ldh + at(j)];
  });
  if (!cholesky(l, k, threads)) return false;
  out.k = k;
  out.a.assign(l.size(), 0);
  out.d.resize(static_cast<size_t>(k));
  std::vector<float> pivots(static_cast<size_t>(k));
  for (int64_t j = 0; j < k; ++j) {
    const int64_t from = k - 1 - j;
    const float pivot = pivots[static_cast<size_t>(j)] = l[static_cast<size_t>(from * k + from)];
    out.d[static_cast<size_t>(j)] = pivot * pivot;
  }
  parallel_for(ceil_div(k, kRowsOfPiece), threads, [&](int64_t piece) {
    for (int64_t i = piece * kRowsOfPiece; i < std::min((piece + 1) * kRowsOfPiece, k); ++i) {
      const float* row = l.data() + (k - 1 - i) * k + k - 1;
      for (int64_t j = i + 1; j < k; ++j)
        out.a[static_cast<size_t>(i * k + j)] = row[-j] / pivots[static_cast<size_t>(j)];
    }
  });
  return true;
}

}  // namespace nibble
