#include "nibble/quant/dense.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "nibble/core/checked.h"
#include "nibble/core/parallel.h"
#include "nibble/kernels/layer.h"
#include "nibble/kernels/onednn/product.h"
#include "nibble/kernels/onednn/product_bf16.h"

namespace nibble {
namespace {

constexpr int64_t kTile = 256;       // of a product that is spread over threads
constexpr int64_t kPanel = 128;      // columns that are factored or solved at a time
constexpr int64_t kSolvedRows = 64;  // rows that are solved together

void product(int64_t m, int64_t n, int64_t k, const float* a, int64_t a_row, int64_t a_column,
             const float* b, int64_t ldb, float* c, int64_t ldc, bool accumulate) {
  if (m == 0 || n == 0) return;
  if (k == 0) {
    for (int64_t r = 0; !accumulate && r < m; ++r) std::fill_n(c + r * ldc, n, 0.0f);
    return;
  }
  onednn_product({m, n, k, a, a_row, a_column, b, ldb, c, ldc, accumulate});
}

// The factor of one small diagonal block, in f64. False where a pivot is not positive.
bool factor_block(float* a, int64_t lda, int64_t size) {
  for (int64_t j = 0; j < size; ++j) {
    for (int64_t i = j; i < size; ++i) {
      double sum = a[i * lda + j];
      for (int64_t p = 0; p < j; ++p) sum -= double{a[i * lda + p]} * a[j * lda + p];
      if (i == j) {
        if (!(sum > 0) || !std::isfinite(sum)) return false;
        a[j * lda + j] = static_cast<float>(std::sqrt(sum));
      } else {
        a[i * lda + j] = static_cast<float>(sum / a[j * lda + j]);
      }
    }
  }
  return true;
}

// The transposed inverse of a factored block, [size, size] and 0 below the diagonal, so that
// x L^T = b is solved by one product, x = b L^-T.
std::vector<float> inverse_transposed(const float* l, int64_t ldl, int64_t size) {
  std::vector<float> out(static_cast<size_t>(size * size), 0.0f);
  std::vector<double> column(static_cast<size_t>(size));
  for (int64_t c = 0; c < size; ++c) {
    for (int64_t i = c; i < size; ++i) {
      double sum = i == c ? 1 : 0;
      for (int64_t p = c; p < i; ++p)
        sum -= double{l[i * ldl + p]} * column[static_cast<size_t>(p)];
      column[static_cast<size_t>(i)] = sum / l[i * ldl + i];
      out[static_cast<size_t>(c * size + i)] = static_cast<float>(column[static_cast<size_t>(i)]);
    }
  }
  return out;
}

// b [rows, size] (ldb) = b times `inverse` [size, size], in place; at most kSolvedRows rows.
void times_inverse(float* b, int64_t ldb, int64_t rows, const std::vector<float>& inverse,
                   int64_t size) {
  std::array<float, kSolvedRows * kPanel> copy;
  for (int64_t r = 0; r < rows; ++r) std::copy_n(b + r * ldb, size, copy.data() + r * size);
  product(rows, size, size, copy.data(), size, 1, inverse.data(), size, b, ldb, false);
}

// out[c, r] = a[r, c], with or without a change of sign.
void transpose_into(const float* a, int64_t lda, int64_t rows, int64_t columns, float sign,
                    float* out, int64_t ldo) {
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = 0; c < columns; ++c) out[c * ldo + r] = sign * a[r * lda + c];
}

}  // namespace

void multiply(int64_t m, int64_t n, int64_t k, const float* a, int64_t lda, const float* b,
              int64_t ldb, float* c, int64_t ldc, bool accumulate) {
  product(m, n, k, a, lda, 1, b, ldb, c, ldc, accumulate);
}

namespace {

constexpr int64_t kGramTile = 512;

std::vector<uint16_t> to_bf16(const float* x, int64_t n, int threads) {
  constexpr int64_t kPiece = 1 << 16;
  std::vector<uint16_t> out(static_cast<size_t>(n));
  const LayerOps& ops = best_layer_ops();
  parallel_for(ceil_div(n, kPiece), threads, [&](int64_t piece) {
    const int64_t i = piece * kPiece;
    ops.to_bf16(x + i, std::min(kPiece, n - i), out.data() + i);
  });
  return out;
}

// f(i, j, height, width) for each tile of a [k, p] matrix; of a symmetric one for those on and
// above the diagonal.
template <class F>
void for_each_tile(int64_t k, int64_t p, bool symmetric, int threads, F f) {
  const int64_t across = ceil_div(p, kGramTile), tiles = ceil_div(k, kGramTile) * across;
  parallel_for(tiles, threads, [&](int64_t t) {
    const int64_t i = t / across * kGramTile, j = t % across * kGramTile;
    if (!symmetric || j >= i) f(i, j, std::min(kGramTile, k - i), std::min(kGramTile, p - j));
  });
}

}  // namespace

void add_gram(int64_t rows, int64_t k, int64_t p, const float* x, const float* y, float* c,
              int threads) {
  if (k >= kWideGram && has_bf16_products()) {
    const std::vector<uint16_t> x16 = to_bf16(x, rows * k, threads),
                                y16 = x == y ? std::vector<uint16_t>()
                                             : to_bf16(y, rows * p, threads);
    const uint16_t *a = x16.data(), *b = x == y ? a : y16.data();
    for_each_tile(k, p, x == y, threads, [=](int64_t i, int64_t j, int64_t height, int64_t width) {
      onednn_product(
          Bf16Product{height, width, rows, a + i, 1, k, b + j, p, 1, c + i * p + j, p, true});
    });
    return;
  }
  for_each_tile(k, p, x == y, threads, [=](int64_t i, int64_t j, int64_t height, int64_t width) {
    product(height, width, rows, x + i, 1, k, y + j, p, c + i * p + j, p, true);
  });
}

void mirror(int64_t k, float* c, int threads) {
  constexpr int64_t kSquare = 64;  // both sides of which fit the first cache
  parallel_for(ceil_div(k, kSquare), threads, [&](int64_t stripe) {
    const int64_t first = stripe * kSquare, end = std::min(first + kSquare, k);
    for (int64_t from = 0; from < end; from += kSquare)
      for (int64_t i = first; i < end; ++i)
        for (int64_t j = from; j < std::min(from + kSquare, i); ++j) c[i * k + j] = c[j * k + i];
  });
}

bool cholesky(std::vector<float>& a, int64_t k, int threads) {
  float* const m = a.data();
  std::vector<float> panel, negated;
  for (int64_t at = 0; at < k; at += kPanel) {
    const int64_t size = std::min(kPanel, k - at), below = at + size, rest = k - below;
    if (!factor_block(m + at * k + at, k, size)) return false;
    const std::vector<float> inverse = inverse_transposed(m + at * k + at, k, size);
    parallel_for(ceil_div(rest, kSolvedRows), threads, [&](int64_t piece) {
      const int64_t r = below + piece * kSolvedRows;
      times_inverse(m + r * k + at, k, std::min(kSolvedRows, k - r), inverse, size);
    });
    if (rest == 0) break;
    panel.resize(static_cast<size_t>(size * rest));
    negated.resize(panel.size());
    transpose_into(m + below * k + at, k, rest, size, 1, panel.data(), rest);
    transpose_into(m + below * k + at, k, rest, size, -1, negated.data(), rest);
    const int64_t tiles = ceil_div(rest, kTile);
    parallel_for(tiles * tiles, threads, [&](int64_t t) {
      const int64_t i = t / tiles * kTile, j = t % tiles * kTile;
      if (j > i) return;
      product(std::min(kTile, rest - i), std::min(kTile, rest - j), size, panel.data() + i, 1, rest,
              negated.data() + j, rest, m + (below + i) * k + below + j, k, true);
    });
  }
  for (int64_t i = 0; i < k; ++i) std::fill(m + i * k + i + 1, m + (i + 1) * k, 0.0f);
  return true;
}

namespace {

// b[:, at .. at + size) += b[:, from ..] times `panel` [count, size], then times `inverse`.
void eliminate(float* b, int64_t m, int64_t k, int64_t at, int64_t size, int64_t from,
               int64_t count, const std::vector<float>& panel, const std::vector<float>& inverse,
               int threads) {
  parallel_for(ceil_div(m, kSolvedRows), threads, [&](int64_t piece) {
    const int64_t r = piece * kSolvedRows, rows = std::min(kSolvedRows, m - r);
    float* const part = b + r * k;
    if (count > 0)
      product(rows, size, count, part + from, k, 1, panel.data(), size, part + at, k, true);
    times_inverse(part + at, k, rows, inverse, size);
  });
}

}  // namespace

void cholesky_solve(const std::vector<float>& l, int64_t k, float* b, int64_t m, int threads) {
  std::vector<float> panel;
  // y L^T = b, from the first columns to the last.
  for (int64_t at = 0; at < k; at += kPanel) {
    const int64_t size = std::min(kPanel, k - at);
    const auto inverse = inverse_transposed(l.data() + at * k + at, k, size);
    panel.resize(static_cast<size_t>(at * size));
    transpose_into(l.data() + at * k, k, size, at, -1, panel.data(), size);
    eliminate(b, m, k, at, size, 0, at, panel, inverse, threads);
  }
  // x L = y, from the last to the first.
  for (int64_t at = (k - 1) / kPanel * kPanel; at >= 0; at -= kPanel) {
    const int64_t size = std::min(kPanel, k - at), behind = at + size, count = k - behind;
    const auto transposed = inverse_transposed(l.data() + at * k + at, k, size);
    std::vector<float> inverse(transposed.size());
    transpose_into(transposed.data(), size, size, size, 1, inverse.data(), size);
    panel.resize(static_cast<size_t>(count * size));
    for (int64_t r = 0; r < count; ++r)
      for (int64_t c = 0; c < size; ++c)
        panel[static_cast<size_t>(r * size + c)] =
            -l[static_cast<size_t>((behind + r) * k + at + c)];
    eliminate(b, m, k, at, size, behind, count, panel, inverse, threads);
  }
}

}  // namespace nibble
