// Sums of outer products of rows against f64, narrow (f32) and wide (bf16 where the processor has
// it).
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "nibble/core/random.h"
#include "nibble/kernels/onednn/product_bf16.h"
#include "nibble/quant/dense.h"

namespace nibble {
namespace {

std::vector<float> normal(int64_t n, uint64_t seed) {
  PyRandom random(seed);
  std::vector<float> out(static_cast<size_t>(n));
  for (float& v : out) v = static_cast<float>(random.gauss(0.1, 1));
  return out;
}

// The largest difference from sums in f64 on top of `before`, in units of sqrt(rows), over every
// 97th element.
double worst(const std::vector<float>& c, int64_t rows, int64_t k, int64_t p, const float* x,
             const float* y, float before) {
  double most = 0;
  for (int64_t at = 0; at < k * p; at += 97) {
    const int64_t i = at / p, j = at % p;
    double sum = before;
    for (int64_t r = 0; r < rows; ++r) sum += double{x[r * k + i]} * y[r * p + j];
    most = std::max(most, std::fabs(c[static_cast<size_t>(at)] - sum));
  }
  return most / std::sqrt(static_cast<double>(rows));
}

TEST(Gram, SumsProductsOfRows) {
  for (const int64_t k : {5, 300, 1024, 1100}) {
    const int64_t rows = 130, p = 77;
    const auto x = normal(rows * k, 1), y = normal(rows * p, 2);
    // Rounding to bf16 moves a product of two standard normals by 0.003 at most on the average; six
    // times that.
    const double tolerance = k >= kWideGram && has_bf16_products() ? 2e-2 : 1e-5;
    for (const int threads : {1, 3}) {
      std::vector<float> cross(static_cast<size_t>(k * p), 2.0f),
          square(static_cast<size_t>(k * k), 0.0f);
      add_gram(rows, k, p, x.data(), y.data(), cross.data(), threads);
      EXPECT_LT(worst(cross, rows, k, p, x.data(), y.data(), 2), tolerance) << k;
      add_gram(rows, k, k, x.data(), x.data(), square.data(), threads);
      mirror(k, square.data());
      EXPECT_LT(worst(square, rows, k, k, x.data(), x.data(), 0), tolerance) << k;
    }
  }
}

TEST(Gram, SameBytesForAnyNumberOfThreads) {
  const int64_t rows = 64, k = 1030;
  const auto x = normal(rows * k, 3);
  std::vector<float> one(static_cast<size_t>(k * k), 0.0f), three = one;
  add_gram(rows, k, k, x.data(), x.data(), one.data(), 1);
  add_gram(rows, k, k, x.data(), x.data(), three.data(), 3);
  EXPECT_EQ(one, three);
}

// Where there is one row or one column, steps between rows say nothing about the layout.
TEST(Gram, OfOneInputOrOneRow) {
  for (const int64_t rows : {1, 2, 70}) {
    for (const auto& [k, p] : {std::pair(1, 1), {1, 3}, {3, 1}, {1, 300}, {300, 1}}) {
      const auto x = normal(rows * k, 1), y = normal(rows * p, 2);
      std::vector<float> c(static_cast<size_t>(k * p), 0.5f);
      add_gram(rows, k, p, x.data(), y.data(), c.data(), 1);
      for (int64_t i = 0; i < k; ++i) {
        for (int64_t j = 0; j < p; ++j) {
          double sum = 0.5;
          for (int64_t r = 0; r < rows; ++r)
            sum += double{x[static_cast<size_t>(r * k + i)]} * y[static_cast<size_t>(r * p + j)];
          EXPECT_NEAR(c[static_cast<size_t>(i * p + j)], sum, 1e-4) << rows << " " << k << " " << p;
        }
      }
    }
  }
}

TEST(Dense, ProductsWithExtentsOfOne) {
  for (const int64_t m : {1, 2, 5}) {
    for (const int64_t n : {1, 2, 5}) {
      for (const int64_t k : {1, 2, 5}) {
        const auto a = normal(m * k, 1), b = normal(k * n, 2);
        std::vector<float> c(static_cast<size_t>(m * n));
        multiply(m, n, k, a.data(), k, b.data(), n, c.data(), n, false);
        for (int64_t i = 0; i < m * n; ++i) {
          double sum = 0;
          for (int64_t q = 0; q < k; ++q)
            sum += double{a[static_cast<size_t>(i / n * k + q)]} *
                   b[static_cast<size_t>(q * n + i % n)];
          EXPECT_NEAR(c[static_cast<size_t>(i)], sum, 1e-5) << m << " " << n << " " << k;
        }
      }
    }
  }
}

}  // namespace
}  // namespace nibble
