#include "nibble/nn/losses.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace nibble {

double log_sum_exp(std::span<const float> logits) {
  const double highest = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float v : logits) sum += std::exp(v - highest);
  return highest + std::log(sum);
}

double cross_entropy(std::span<const float> logits, int32_t target) {
  return log_sum_exp(logits) - logits[static_cast<size_t>(target)];
}

double kl_divergence(std::span<const float> base, std::span<const float> model) {
  const double base_norm = log_sum_exp(base), model_norm = log_sum_exp(model);
  double sum = 0;
  for (size_t i = 0; i < base.size(); ++i) {
    const double log_p = base[i] - base_norm, log_q = model[i] - model_norm;
    sum += std::exp(log_p) * (log_p - log_q);
  }
  return sum < 0 ? 0 : sum;  // by rounding; NaN stays what it is
}

int32_t argmax(std::span<const float> logits) {
  return static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

}  // namespace nibble
