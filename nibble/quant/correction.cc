#include "nibble/quant/correction.h"

#include <algorithm>

#include "nibble/quant/dense.h"

namespace nibble {
namespace {

// to[c, r] = from[r, c].
std::vector<float> transposed(const std::vector<float>& from, int64_t rows, int64_t columns) {
  std::vector<float> to(from.size());
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = 0; c < columns; ++c)
      to[static_cast<size_t>(c * rows + r)] = from[static_cast<size_t>(r * columns + c)];
  return to;
}

std::vector<float> negated(std::vector<float> x) {
  for (float& v : x) v = -v;
  return x;
}

// c[n, k] += w[n, k] b[k, k].
void add_products(std::span<const float> w, int64_t n, int64_t k, const std::vector<float>& b,
                  std::vector<float>& c, int threads) {
  constexpr int64_t kRows = 64;
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
  for (int64_t r = 0; r < n; r += kRows)
    multiply(std::min(kRows, n - r), k, k, w.data() + r * k, k, b.data(), k, c.data() + r * k, k,
             true);
}

}  // namespace

std::vector<float> corrected_weight(std::span<const float> w, int64_t n,
                                    const InputStatistics& input, double damping, double strength,
                                    int threads) {
  const int64_t k = input.k;
  std::vector<float> out(w.begin(), w.end());
  const bool to_target = !input.target.empty() && input.target_width == n;
  if ((input.cross.empty() && !to_target) || input.rows == 0 || strength == 0) return out;
  std::vector<float> change(out.size(), 0.0f);
  if (to_target) {
    change = negated(transposed(input.target, k, n));
    add_products(w, n, k, input.hessian, change, threads);
    change = negated(std::move(change));
  } else {
    const std::vector<float> cross = transposed(input.cross, k, k);
    add_products(w, n, k, cross, change, threads);
  }
  std::vector<float> factor = input.hessian;
  double mean = 0;
  for (int64_t i = 0; i < k; ++i)
    mean += double{factor[static_cast<size_t>(i * k + i)]} / static_cast<double>(k);
  for (int64_t i = 0; i < k; ++i)
    factor[static_cast<size_t>(i * k + i)] += static_cast<float>(damping * mean);
  if (!cholesky(factor, k, threads)) return out;
  cholesky_solve(factor, k, change.data(), n, threads);
  for (size_t i = 0; i < out.size(); ++i) out[i] += static_cast<float>(strength) * change[i];
  return out;
}

}  // namespace nibble
