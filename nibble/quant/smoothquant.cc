// SmoothQuant (Xiao et al. 2022, equation 4): inputs are divided by s = max|x|^a / max|w|^(1 - a),
// which moves part of their outliers into the weights, where a scale per output copes with them.
// The paper has one a for a model; here each site has its own, the one whose int8 products are
// nearest to the exact ones on a sample of rows, or none where none is better.
#include <algorithm>
#include <cmath>

#include "nibble/quant/rescale.h"

namespace nibble {
namespace {

constexpr int kExponents = 20;
constexpr double kSmallestMagnitude = 1e-5;

}  // namespace

SiteScales smoothquant_scales(const SiteTask& task) {
  const auto k = static_cast<size_t>(task.input.k);
  const std::vector<float> w = column_absmax(task);
  std::vector<std::vector<float>> candidates;
  std::vector<double> exponents;
  for (int step = 1; step <= kExponents; ++step) {
    const double a = static_cast<double>(step) / kExponents;
    std::vector<float> s(k);
    for (size_t i = 0; i < k; ++i) {
      const double x = std::max(double{task.input.absmax[i]}, kSmallestMagnitude);
      s[i] = static_cast<float>(std::pow(x, a) /
                                std::pow(std::max(double{w[i]}, kSmallestMagnitude), 1 - a));
    }
    candidates.push_back(std::move(s));
    exponents.push_back(a);
  }
  return best_scales(task, candidates, exponents);
}

}  // namespace nibble
