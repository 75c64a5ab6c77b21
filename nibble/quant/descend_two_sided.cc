#include <algorithm>
#include <cmath>
#include <numeric>

#include "nibble/core/checked.h"
#include "nibble/core/parallel.h"
#include "nibble/quant/dense.h"
#include "nibble/quant/two_sided.h"

namespace nibble {
namespace {

constexpr int64_t kRows = 16;         // between two large products
constexpr int64_t kPiece = 512;       // columns of a product that one thread makes
constexpr double kLeastPower = 1e-3;  // of an output, as a share of the mean
constexpr float kClearly = 0.9999f;   // a better level that is better by less may be rounding

// One block of G and the rows that it joins.
class RowBlock {
 public:
  RowBlock(GridMatrix& m, std::span<const float> w, const DampedHessian& hessian,
           const std::vector<float>& g, int64_t first, int64_t rows, int threads)
      : m_(m),
        h_(hessian.h.data()),
        g_(g),
        first_(first),
        rows_(rows),
        k_(hessian.k),
        threads_(threads) {
    std::vector<float> error(static_cast<size_t>(rows * k_));
    through_.resize(error.size());
    gradient_.resize(static_cast<size_t>(kRows * k_));
    change_.resize(static_cast<size_t>(k_));
    product_.resize(change_.size());
    q_.resize(static_cast<size_t>(m.group()));
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t c = 0; c < k_; ++c)
        error[static_cast<size_t>(r * k_ + c)] =
            m_.value(first + r, c) - w[static_cast<size_t>((first + r) * k_ + c)];
    in_pieces([&](int64_t at, int64_t size) {
      multiply(rows_, size, k_, error.data(), k_, h_ + at, k_, through_.data() + at, k_, false);
    });
  }

  void sweep() {
    for (int64_t r = 0; r < rows_; r += kRows) {
      const int64_t count = std::min(kRows, rows_ - r);
      in_pieces([&](int64_t at, int64_t size) {
        multiply(count, size, rows_, g_.data() + r * rows_, rows_, through_.data() + at, k_,
                 gradient_.data() + at, k_, false);
      });
      for (int64_t i = 0; i < count; ++i) row(r, i, count);
    }
  }

 private:
  void in_pieces(const std::function<void(int64_t, int64_t)>& f) {
    parallel_for(ceil_div(k_, kPiece), threads_,
                 [&](int64_t piece) { f(piece * kPiece, std::min(kPiece, k_ - piece * kPiece)); });
  }

  void row(int64_t r, int64_t i, int64_t count) {
    std::fill(change_.begin(), change_.end(), 0.0f);
    const float power = g_[static_cast<size_t>((r + i) * rows_ + r + i)];
    float* gradient = gradient_.data() + i * k_;
    bool any = false;
    for (int64_t c = 0; c < k_; ++c) any |= move(first_ + r + i, c, power, gradient);
    for (int64_t c = 0; c < k_ && !m_.shared(); c += m_.group())
      any |= scale(first_ + r + i, c, power, gradient);
    if (!any) return;
    add(change_.data(), 1, through_.data() + (r + i) * k_);
    for (int64_t later = i + 1; later < count; ++later)
      add(change_.data(), g_[static_cast<size_t>((r + later) * rows_ + r + i)],
          gradient_.data() + later * k_);
  }

  void add(const float* x, float factor, float* y) const {
    for (int64_t c = 0; c < k_; ++c) y[c] += factor * x[c];
  }

  // The level of one weight: the error is a parabola in it.
  bool move(int64_t row, int64_t c, float power, float* gradient) {
    const Grid& g = m_.grid(row, c / m_.group());
    if (g.scale == 0) return false;
    int16_t& level = m_.levels(row)[static_cast<size_t>(c)];
    const float curve = power * h_[c * k_ + c], now = level * g.scale;
    const float best = nearest_level(now - gradient[c] / curve, g.scale, g.low, g.high);
    const float step = best * g.scale - now;
    // What the step takes away: step * gradient + step^2 curve / 2 < 0.
    if (step == 0 || !(step * gradient[c] * kClearly + 0.5f * step * step * curve < 0))
      return false;
    level = static_cast<int16_t>(best);
    tell(c, step, power, gradient);
    return true;
  }

  void tell(int64_t c, float step, float power, float* gradient) {
    add(h_ + c * k_, step, change_.data());
    add(h_ + c * k_, step * power, gradient);
  }

  // q -> (1 + x) q of one group lowers the error most for x = -(q . gradient) / (q H q power).
  bool scale(int64_t row, int64_t begin, float power, float* gradient) {
    const int64_t size = std::min(m_.group(), k_ - begin);
    Grid& g = m_.grid(row, begin / m_.group());
    for (int64_t i = 0; i < size; ++i) q_[static_cast<size_t>(i)] = m_.value(row, begin + i);
    multiply(1, k_, size, q_.data(), size, h_ + begin * k_, k_, product_.data(), k_, false);
    double qg = 0, qhq = 0;
    for (int64_t i = 0; i < size; ++i) {
      const double q = q_[static_cast<size_t>(i)];
      qg += q * gradient[begin + i];
      qhq += q * product_[static_cast<size_t>(begin + i)] * power;
    }
    if (!(qhq > 0)) return false;
    const float s =
        round_signed_scale(static_cast<float>(g.scale * (1 - qg / qhq)), m_.scale_dtype());
    if (s == 0 || s == g.scale || !std::isfinite(s)) return false;
    const double x = double{s} / g.scale - 1;
    if (!(2 * x * qg + x * x * qhq < 0)) return false;
    g.scale = s;
    add(product_.data(), static_cast<float>(x), change_.data());
    add(product_.data(), static_cast<float>(x) * power, gradient);
    return true;
  }

  GridMatrix& m_;
  const float* h_;
  const std::vector<float>& g_;
  int64_t first_, rows_, k_;
  int threads_;
  std::vector<float> through_;   // [rows, k]: (Q - W) H
  std::vector<float> gradient_;  // [kRows, k]: G (Q - W) H
  std::vector<float> change_;    // [k]: of `through_` in the row at hand
  std::vector<float> q_;         // [group] of the row at hand
  std::vector<float> product_;   // [k]: q H
};

}  // namespace

OutputMetric damped(const OutputMetric& metric, double damping) {
  OutputMetric out = metric;
  double trace = 0;
  const auto each = [&](const auto& f) {
    for (size_t b = 0; b < out.blocks.size(); ++b) {
      const int64_t n = out.starts[b + 1] - out.starts[b];
      for (int64_t i = 0; i < n; ++i) f(out.blocks[b][static_cast<size_t>(i * n + i)]);
    }
  };
  each([&](const float& g) { trace += g; });
  const double least = kLeastPower * trace / static_cast<double>(out.n());
  each([&](float& g) { g = static_cast<float>(std::max<double>(g, least) * (1 + damping)); });
  return out;
}

void descend_two_sided(GridMatrix& m, std::span<const float> w, const DampedHessian& hessian,
                       const OutputMetric& metric, int sweeps, int threads) {
  const int inside = metric.blocks.size() > 1 ? 1 : threads;
  parallel_for(std::ssize(metric.blocks), threads, [&](int64_t b) {
    const int64_t first = metric.starts[static_cast<size_t>(b)];
    const int64_t rows = metric.starts[static_cast<size_t>(b) + 1] - first;
    RowBlock block(m, w, hessian, metric.blocks[static_cast<size_t>(b)], first, rows, inside);
    for (int i = 0; i < sweeps; ++i) block.sweep();
  });
}

double output_error(std::span<const float> w, std::span<const float> q, int64_t k,
                    std::span<const float> hessian, const OutputMetric& metric, int threads) {
  std::vector<double> sums(metric.blocks.size()), traces(metric.blocks.size());
  parallel_for(std::ssize(metric.blocks), threads, [&](int64_t index) {
    const auto b = static_cast<size_t>(index);
    const int64_t first = metric.starts[b], n = metric.starts[b + 1] - first;
    std::vector<float> e(static_cast<size_t>(n * k)), eh(e.size()), ge(e.size());
    for (size_t i = 0; i < e.size(); ++i) {
      const size_t at = static_cast<size_t>(first * k) + i;
      e[i] = w[at] - q[at];
    }
    multiply(n, k, k, e.data(), k, hessian.data(), k, eh.data(), k, false);
    multiply(n, k, n, metric.blocks[b].data(), n, e.data(), k, ge.data(), k, false);
    for (size_t i = 0; i < e.size(); ++i) sums[b] += double{eh[i]} * ge[i];
    for (int64_t i = 0; i < n; ++i) traces[b] += metric.blocks[b][static_cast<size_t>(i * n + i)];
  });
  const double trace = std::accumulate(traces.begin(), traces.end(), 0.0);
  return trace > 0 ? std::accumulate(sums.begin(), sums.end(), 0.0) / trace : 0;
}

}  // namespace nibble
