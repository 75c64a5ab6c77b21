// Dense f32 matrices, row-major: the few products and factors that calibration needs.
#pragma once

#include <cstdint>
#include <vector>

namespace nibble {

/// c[m, n] (ldc) = a[m, k] (lda) b[k, n] (ldb), + c where `accumulate`. On the calling thread.
void multiply(int64_t m, int64_t n, int64_t k, const float* a, int64_t lda, const float* b,
              int64_t ldb, float* c, int64_t ldc, bool accumulate);

/// Gram matrices of that width and more are summed in bf16 where the processor multiplies it: the
/// rounding of one input, 2^-9, averages out over rows and is far below any damping.
inline constexpr int64_t kWideGram = 1024;

/// c[k, p] += x^T y over the rows of x [rows, k] and y [rows, p]. In tiles of a fixed size, so the
/// bytes are the same for any number of threads. Where y is x, only tiles on and above the diagonal
/// are computed: mirror() makes the rest of them when all is added.
void add_gram(int64_t rows, int64_t k, int64_t p, const float* x, const float* y, float* c,
              int threads);
/// c[j, i] = c[i, j] for i < j.
void mirror(int64_t k, float* c, int threads = 1);

/// The lower Cholesky factor of a symmetric a[k, k], in place (the part above the diagonal becomes
/// 0). False where a is not positive definite or not finite: a is then spoiled.
bool cholesky(std::vector<float>& a, int64_t k, int threads);

/// Solves L L^T x = b for m right-hand sides, the rows of b [m, k], in place; L from cholesky().
void cholesky_solve(const std::vector<float>& l, int64_t k, float* b, int64_t m, int threads);

}  // namespace nibble
