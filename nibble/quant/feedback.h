// Error feedback: what rounding one column tells the columns that are rounded after it.
//
// H = R R^T with R upper triangular gives, for any levels, (w - q) H (w - q)^T =
// sum_j d_j (v_j - q_j)^2 with v_j = w_j + sum_{i<j} (w_i - q_i) a_ij, where R = (A + I) D^{1/2}.
// Rounding v_j to nearest, column after column, is GPTQ (Frantar et al. 2022) in the form of LDLQ
// (Chee et al. 2023, QuIP, section 3 and theorem 6: the two are equal).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace nibble {

struct Feedback {
  int64_t k = 0;
  std::vector<float> a;  ///< [k, k], a[i * k + j] for i < j in the order of rounding, else 0
  std::vector<float> d;  ///< [k], in the order of rounding
};

/// 0 .. k - 1; those with the largest diagonal of h [k, k] first where `sorted`.
std::vector<int64_t> rounding_order(const float* h, int64_t k, bool sorted);

/// The factors of the rows and columns order[0], order[1], ... of h [n, n] (ldh). False where that
/// part of h is not positive definite.
bool make_feedback(const float* h, int64_t ldh, std::span<const int64_t> order, int threads,
                   Feedback& out);

}  // namespace nibble
