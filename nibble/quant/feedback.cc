#include "nibble/quant/feedback.h"

#include "nibble/quant/dense.h"

namespace nibble {

bool make_feedback(const float* h, int64_t ldh, std::span<const int64_t> order, int threads,
                   Feedback& out) {
  const auto k = static_cast<int64_t>(order.size());
  const auto at = [&order, k](int64_t i) { return order[static_cast<size_t>(k - 1 - i)]; };
  // The lower factor of the reversed matrix, reversed again, is the upper factor.
  std::vector<float> l(static_cast<size_t>(k * k));
  for (int64_t i = 0; i < k; ++i)
    for (int64_t j = 0; j < k; ++j) l[static_cast<size_t>(i * k + j)] = h[at(i) * ldh + at(j)];
  if (!cholesky(l, k, threads)) return false;
  out.k = k;
  out.a.assign(l.size(), 0);
  out.d.resize(static_cast<size_t>(k));
  for (int64_t j = 0; j < k; ++j) {
    const int64_t from = k - 1 - j;
    const float pivot = l[static_cast<size_t>(from * k + from)];
    out.d[static_cast<size_t>(j)] = pivot * pivot;
    for (int64_t i = 0; i < j; ++i)
      out.a[static_cast<size_t>(i * k + j)] =
          l[static_cast<size_t>((k - 1 - i) * k + from)] / pivot;
  }
  return true;
}

}  // namespace nibble
