// Activation-aware weight quantization (Lin et al. 2023, AWQ, section 3): channels whose inputs are
// large get their weights multiplied by s > 1, so that they are rounded relatively finer;
// s = x^a or x^a / w^(1 - a) with a searched over a grid. x is the root mean square of the channel
// (the paper takes the mean magnitude: H has the squares at hand), w the mean magnitude of its
// weights relative to their group's largest. The error is the readers' own, tr(dW H dW^T).
#include <cmath>

#include "nibble/quant/rescale.h"

namespace nibble {
namespace {

constexpr int kSteps = 20;

}  // namespace

SiteScales awq_scales(const SiteTask& task) {
  const auto k = static_cast<size_t>(task.input.k);
  const std::vector<float> w = column_mean_share(task);
  std::vector<std::vector<float>> candidates;
  std::vector<double> exponents;
  for (int step = 1; step <= kSteps; ++step) {
    const double a = static_cast<double>(step) / kSteps;
    std::vector<float> alone(k), both(k);
    for (size_t i = 0; i < k; ++i) {
      const double x = std::sqrt(task.input.mean_square[i]);
      alone[i] = static_cast<float>(std::pow(x, a));
      both[i] = static_cast<float>(std::pow(x, a) / std::pow(w[i] + 1e-4, 1 - a));
    }
    for (std::vector<float>* s : {&alone, &both}) {
      candidates.push_back(std::move(*s));
      exponents.push_back(a);
    }
  }
  return best_scales(task, candidates, exponents);
}

}  // namespace nibble
