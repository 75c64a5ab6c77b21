#include "nibble/quant/correction.h"

#include <algorithm>

#include "nibble/core/checked.h"
#include "nibble/core/parallel.h"
#include "nibble/quant/dense.h"

namespace nibble {
namespace {

constexpr int64_t kRowsAtATime = 64;  // of one piece of work

// to[c, r] = sign * from[r, c].
std::vector<float> transposed(const std::vector<float>& from, int64_t rows, int64_t columns,
                              float sign, int threads) {
  std::vector<float> to(from.size());
  parallel_for(ceil_div(columns, kRowsAtATime), threads, [&](int64_t piece) {
    const int64_t begin = piece * kRowsAtATime, end = std::min(begin + kRowsAtATime, columns);
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t c = begin; c < end; ++c)
        to[static_cast<size_t>(c * rows + r)] = sign * from[static_cast<size_t>(r * columns + c)];
  });
  return to;
}

// c[n, k] += w[n, k] b[k, k].
void add_products(std::span<const float> w, int64_t n, int64_t k, const std::vector<float>& b,
                  std::vector<float>& c, int threads) {
  parallel_for(ceil_div(n, kRowsAtATime), threads, [&](int64_t piece) {
    const int64_t r = piece * kRowsAtATime;
    multiply(std::min(kRowsAtATime, n - r), k, k, w.data() + r * k, k, b.data(), k,
             c.data() + r * k, k, true);
  });
}

}  // namespace

Correction::Correction(const InputStatistics& input, double damping, double strength, int threads)
    : input_(input), strength_(strength), threads_(threads) {
  if ((input.cross.empty() && input.target.empty()) || input.rows == 0 || strength == 0) return;
  const int64_t k = input.k;
  std::vector<float> factor = input.hessian;
  double mean = 0;
  for (int64_t i = 0; i < k; ++i)
    mean += double{factor[static_cast<size_t>(i * k + i)]} / static_cast<double>(k);
  for (int64_t i = 0; i < k; ++i)
    factor[static_cast<size_t>(i * k + i)] += static_cast<float>(damping * mean);
  if (!cholesky(factor, k, threads)) return;
  factor_ = std::move(factor);
  if (!input.cross.empty()) cross_ = transposed(input.cross, k, k, -1, threads);
}

std::vector<float> Correction::apply(std::span<const float> w, int64_t n) const {
  const int64_t k = input_.k;
  std::vector<float> out(w.begin(), w.end());
  const bool to_target = !input_.target.empty() && input_.target_width == n;
  if (factor_.empty() || (cross_.empty() && !to_target)) return out;
  std::vector<float> change;  // -D, then what is taken away
  if (to_target)
    change = transposed(input_.target, k, n, -1, threads_);
  else
    change.resize(out.size());
  add_products(w, n, k, to_target ? input_.hessian : cross_, change, threads_);
  cholesky_solve(factor_, k, change.data(), n, threads_);
  for (size_t i = 0; i < out.size(); ++i) out[i] -= static_cast<float>(strength_) * change[i];
  return out;
}

}  // namespace nibble
