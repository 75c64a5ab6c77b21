#include "nibble/quant/nearest_low_rank.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "nibble/core/error.h"
#include "nibble/core/random.h"

namespace nibble {
namespace {

using Columns = std::vector<std::vector<double>>;

double dot_of(const std::vector<double>& x, const std::vector<double>& y) {
  return std::inner_product(x.begin(), x.end(), y.begin(), 0.0);
}

void add_scaled(double by, const std::vector<double>& x, std::vector<double>& to) {
  for (size_t i = 0; i < x.size(); ++i) to[i] += by * x[i];
}

// Gram-Schmidt, twice, since once loses what is nearly parallel. What is nothing becomes 0.
void orthonormalize(Columns& columns) {
  constexpr double kNothing = 1e-12;
  for (size_t j = 0; j < columns.size(); ++j) {
    const double before = std::sqrt(dot_of(columns[j], columns[j]));
    for (int pass = 0; pass < 2; ++pass)
      for (size_t i = 0; i < j; ++i)
        add_scaled(-dot_of(columns[i], columns[j]), columns[i], columns[j]);
    const double norm = std::sqrt(dot_of(columns[j], columns[j]));
    const double factor = norm > kNothing * before ? 1 / norm : 0;
    for (double& v : columns[j]) v *= factor;
  }
}

// to = M from, of M [n, k].
void times_columns(std::span<const float> m, const Columns& from, Columns& to) {
  const size_t n = to.front().size(), k = from.front().size();
  for (size_t row = 0; row < n; ++row) {
    const float* const values = m.data() + row * k;
    for (size_t c = 0; c < from.size(); ++c) {
      double sum = 0;
      for (size_t i = 0; i < k; ++i) sum += double{values[i]} * from[c][i];
      to[c][row] = sum;
    }
  }
}

// to = M^T from.
void transposed_times_columns(std::span<const float> m, const Columns& from, Columns& to) {
  const size_t n = from.front().size(), k = to.front().size();
  for (auto& column : to) std::fill(column.begin(), column.end(), 0.0);
  for (size_t row = 0; row < n; ++row) {
    const float* const values = m.data() + row * k;
    for (size_t c = 0; c < from.size(); ++c) {
      const double by = from[c][row];
      for (size_t i = 0; i < k; ++i) to[c][i] += by * double{values[i]};
    }
  }
}

void turn_pair(std::vector<double>& x, std::vector<double>& y, double cos, double sin) {
  for (size_t i = 0; i < x.size(); ++i) {
    const double a = x[i], b = y[i];
    x[i] = cos * a - sin * b;
    y[i] = sin * a + cos * b;
  }
}

// Turns pairs of columns until those of `along` are orthogonal (one-sided Jacobi), and those of
// `with` by the same.
void diagonalize(Columns& along, Columns& with) {
  constexpr int kSweeps = 30;
  constexpr double kOrthogonal = 1e-14;
  for (int sweep = 0; sweep < kSweeps; ++sweep) {
    bool turned = false;
    for (size_t i = 0; i < along.size(); ++i) {
      for (size_t j = i + 1; j < along.size(); ++j) {
        const double a = dot_of(along[i], along[i]), b = dot_of(along[j], along[j]),
                     c = dot_of(along[i], along[j]);
        if (std::abs(c) <= kOrthogonal * std::sqrt(a * b)) continue;
        const double zeta = (b - a) / (2 * c),
                     t = std::copysign(1, zeta) / (std::abs(zeta) + std::hypot(1, zeta)),
                     cos = 1 / std::hypot(1, t);
        turn_pair(along[i], along[j], cos, cos * t);
        turn_pair(with[i], with[j], cos, cos * t);
        turned = true;
      }
    }
    if (!turned) return;
  }
}

Columns random_columns(size_t count, int64_t size) {
  PyRandom random(42);
  Columns out(count, std::vector<double>(static_cast<size_t>(size)));
  for (auto& column : out)
    for (double& v : column) v = random.gauss(0, 1);
  return out;
}

}  // namespace

LowRank nearest_low_rank(std::span<const float> values, int64_t n, int64_t k, int64_t rank) {
  constexpr int64_t kMore = 8;  // columns than are wanted
  constexpr int kIterations = 10;
  NIBBLE_CHECK(std::ssize(values) == n * k && rank >= 1 && rank <= std::min(n, k));
  const auto columns = static_cast<size_t>(std::min({rank + kMore, n, k}));
  Columns right = random_columns(columns, k);
  Columns left(columns, std::vector<double>(static_cast<size_t>(n)));
  for (int i = 0; i < kIterations; ++i) {
    if (i > 0) orthonormalize(right);
    times_columns(values, right, left);
    orthonormalize(left);
    transposed_times_columns(values, left, right);
  }
  diagonalize(right, left);
  std::vector<size_t> order(columns);
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::stable_sort(order, std::greater<>(),
                           [&](size_t c) { return dot_of(right[c], right[c]); });
  LowRank out{Tensor(DType::f32, {rank, k}), Tensor(DType::f32, {n, rank})};
  float *const a = out.a.mutable_data<float>().data(), *const b =
                                                           out.b.mutable_data<float>().data();
  for (int64_t j = 0; j < rank; ++j) {
    const size_t c = order[static_cast<size_t>(j)];
    const double half = std::pow(dot_of(right[c], right[c]), 0.25);  // root of the singular value
    for (int64_t i = 0; i < k; ++i)
      a[j * k + i] = half > 0 ? static_cast<float>(right[c][static_cast<size_t>(i)] / half) : 0.0f;
    for (int64_t i = 0; i < n; ++i)
      b[i * rank + j] = static_cast<float>(left[c][static_cast<size_t>(i)] * half);
  }
  return out;
}

}  // namespace nibble
