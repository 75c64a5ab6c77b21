#include <algorithm>
#include <cmath>
#include <numeric>

#include "nibble/core/checked.h"
#include "nibble/core/parallel.h"
#include "nibble/quant/dense.h"
#include "nibble/quant/two_sided.h"

namespace nibble {
namespace {

constexpr int64_t kRowsAtOnce = 16;   // between two large products
constexpr int64_t kPiece = 512;       // columns of a product that one thread makes
constexpr double kLeastTrace = 1e-3;  // of an output, as a share of the mean
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
    gradient_.resize(static_cast<size_t>(kRowsAtOnce * k_));
    change_.resize(static_cast<size_t>(k_));
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t c = 0; c < k_; ++c)
        error[static_cast<size_t>(r * k_ + c)] =
            m_.value(first + r, c) - w[static_cast<size_t>((first + r) * k_ + c)];
    in_pieces(k_, [&](int64_t at, int64_t size) {
      multiply(rows_, size, k_, error.data(), k_, h_ + at, k_, through_.data() + at, k_, false);
    });
    for (int64_t r = 0; r < rows; r += kRowsAtOnce) {
      const int64_t count = load_gradients(r);
      for (int64_t i = 0; i < count * k_; ++i)
        error_ +=
            double{error[static_cast<size_t>(r * k_ + i)]} * gradient_[static_cast<size_t>(i)];
    }
  }

  // Gives the share of the error that this took away.
  double sweep() {
    const double before = error_;
    for (int64_t r = 0; r < rows_; r += kRowsAtOnce) {
      const int64_t count = load_gradients(r);
      for (int64_t i = 0; i < count; ++i) row(r, i, count);
    }
    for (int64_t c = 0; c < k_ && m_.grids_can_change(); c += m_.group()) fit_scales(c);
    return before > 0 ? 1 - error_ / before : 0;
  }

 private:
  void in_pieces(int64_t columns, const std::function<void(int64_t, int64_t)>& f) const {
    parallel_for(ceil_div(columns, kPiece), threads_, [&](int64_t piece) {
      f(piece * kPiece, std::min(kPiece, columns - piece * kPiece));
    });
  }

  // Gives the number of rows from r on that now have theirs.
  int64_t load_gradients(int64_t r) {
    const int64_t count = std::min(kRowsAtOnce, rows_ - r);
    in_pieces(k_, [&](int64_t at, int64_t size) {
      multiply(count, size, rows_, g_.data() + r * rows_, rows_, through_.data() + at, k_,
               gradient_.data() + at, k_, false);
    });
    return count;
  }

  void row(int64_t r, int64_t i, int64_t count) {
    std::fill(change_.begin(), change_.end(), 0.0f);
    float* gradient = gradient_.data() + i * k_;
    bool any = false;
    for (int64_t c = 0; c < k_; ++c) any |= move(first_ + r + i, c, g(r + i, r + i), gradient);
    if (!any) return;
    add(change_.data(), 1, through_.data() + (r + i) * k_);
    for (int64_t later = i + 1; later < count; ++later)
      add(change_.data(), g(r + later, r + i), gradient_.data() + later * k_);
  }

  float g(int64_t i, int64_t j) const { return g_[static_cast<size_t>(i * rows_ + j)]; }

  void add(const float* x, float factor, float* y) const {
    for (int64_t c = 0; c < k_; ++c) y[c] += factor * x[c];
  }

  // The level of one weight: the error is a parabola in it.
  bool move(int64_t row, int64_t c, float power, float* gradient) {
    const Grid& grid = m_.grid(row, c / m_.group());
    if (grid.scale == 0) return false;
    int16_t& level = m_.levels(row)[static_cast<size_t>(c)];
    const float curve = power * h_[c * k_ + c], now = level * grid.scale;
    const float best = nearest_level(now - gradient[c] / curve, grid, m_.range());
    const float step = best * grid.scale - now;
    if (step == 0 || !(step * gradient[c] * kClearly + 0.5f * step * step * curve < 0))
      return false;
    level = static_cast<int16_t>(best);
    error_ += 2 * double{step} * gradient[c] + double{step} * step * curve;
    add(h_ + c * k_, step, change_.data());
    add(h_ + c * k_, step * power, gradient);
    return true;
  }

  // The scales of one group of columns in all rows: with q_r -> (1 + x_r) q_r the error changes by
  // 2 b x + x M x, b_r = q_r . gradient_r, M_rs = G_rs q_r H q_s. One row after the other.
  void fit_scales(int64_t begin) {
    const int64_t size = std::min(m_.group(), k_ - begin);
    std::vector<float> q(static_cast<size_t>(rows_ * size)), by_column(q.size()), ahead(q.size());
    std::vector<float> product(static_cast<size_t>(rows_ * k_));
    std::vector<float> m(static_cast<size_t>(rows_ * rows_));
    for (int64_t r = 0; r < rows_; ++r)
      for (int64_t c = 0; c < size; ++c)
        q[static_cast<size_t>(r * size + c)] = by_column[static_cast<size_t>(c * rows_ + r)] =
            m_.value(first_ + r, begin + c);
    in_pieces(k_, [&](int64_t at, int64_t columns) {
      multiply(rows_, columns, size, q.data(), size, h_ + begin * k_ + at, k_, product.data() + at,
               k_, false);
    });
    in_pieces(rows_, [&](int64_t at, int64_t rows) {
      multiply(rows, size, rows_, g_.data() + at * rows_, rows_, through_.data() + begin, k_,
               ahead.data() + at * size, size, false);
      multiply(rows, rows_, size, product.data() + at * k_ + begin, k_, by_column.data(), rows_,
               m.data() + at * rows_, rows_, false);
    });
    std::vector<double> b(static_cast<size_t>(rows_), 0.0);
    for (int64_t r = 0; r < rows_; ++r)
      for (int64_t c = r * size; c < (r + 1) * size; ++c)
        b[static_cast<size_t>(r)] +=
            double{q[static_cast<size_t>(c)]} * ahead[static_cast<size_t>(c)];
    for (int64_t r = 0; r < rows_; ++r) {
      const double x = fit_scale(r, begin / m_.group(), b[static_cast<size_t>(r)],
                                 double{g(r, r)} * m[static_cast<size_t>(r * rows_ + r)]);
      if (x == 0) continue;
      add(product.data() + r * k_, static_cast<float>(x), through_.data() + r * k_);
      for (int64_t s = 0; s < rows_; ++s)
        b[static_cast<size_t>(s)] += x * g(s, r) * m[static_cast<size_t>(r * rows_ + s)];
    }
  }

  // Gives by what share the scale grew.
  double fit_scale(int64_t r, int64_t group, double b, double curve) {
    Grid& grid = m_.grid(first_ + r, group);
    if (!(curve > 0)) return 0;
    const float s =
        round_signed_scale(static_cast<float>(grid.scale * (1 - b / curve)), m_.scale_dtype());
    if (s == 0 || !std::isfinite(s)) return 0;
    const double x = double{s} / grid.scale - 1, gain = 2 * x * b + x * x * curve;
    if (!(gain < 0)) return 0;
    grid.scale = s;
    error_ += gain;
    return x;
  }

  GridMatrix& m_;
  const float* h_;
  const std::vector<float>& g_;
  int64_t first_, rows_, k_;
  int threads_;
  double error_ = 0;             // as the changes add up
  std::vector<float> through_;   // [rows, k]: (Q - W) H
  std::vector<float> gradient_;  // [kRowsAtOnce, k]: G (Q - W) H
  std::vector<float> change_;    // [k]: of `through_` in the row at hand
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
  const double least = kLeastTrace * trace / static_cast<double>(out.n());
  each([&](float& g) { g = static_cast<float>(std::max<double>(g, least) * (1 + damping)); });
  return out;
}

void descend_two_sided(GridMatrix& m, std::span<const float> w, const DampedHessian& hessian,
                       const OutputMetric& metric, int sweeps, double least_gain, int threads) {
  const int inside = metric.blocks.size() > 1 ? 1 : threads;
  parallel_for(std::ssize(metric.blocks), threads, [&](int64_t b) {
    const int64_t first = metric.starts[static_cast<size_t>(b)];
    const int64_t rows = metric.starts[static_cast<size_t>(b) + 1] - first;
    RowBlock block(m, w, hessian, metric.blocks[static_cast<size_t>(b)], first, rows, inside);
    for (int i = 0; i < sweeps; ++i) {
      if (block.sweep() < least_gain) break;
    }
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
