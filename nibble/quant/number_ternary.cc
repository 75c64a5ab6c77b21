// ternary: -1, 0 and 1 times a scale.
#include <algorithm>
#include <cmath>
#include <functional>

#include "nibble/quant/number.h"

namespace nibble {
namespace {

// The scale s that minimizes the squared error of s * clamp(round(x / s), -1, 1). Where the t
// largest magnitudes become +-s, the best s is their mean S_t / t and the error falls by
// S_t^2 / t, so the largest of these wins. A weight that is ternary already is met exactly.
float best_ternary_scale(std::span<const float> x) {
  std::vector<float> magnitudes(x.size());
  std::transform(x.begin(), x.end(), magnitudes.begin(), [](float v) { return std::fabs(v); });
  std::sort(magnitudes.begin(), magnitudes.end(), std::greater<>());
  double sum = 0, best = 0, scale = 0;
  for (size_t t = 0; t < magnitudes.size(); ++t) {
    sum += magnitudes[t];
    const double gain = sum * sum / static_cast<double>(t + 1);
    if (gain <= best) continue;
    best = gain;
    scale = sum / static_cast<double>(t + 1);
  }
  return static_cast<float>(scale);
}

}  // namespace

const NumberTraits& ternary_number() {
  static const NumberTraits kRow = {.name = "ternary",
                                    .kind = NumberKind::levels,
                                    .bits = 2,
                                    .parts = kGranularityParts | kActivationParts,
                                    .examples = {"ternary"},
                                    .low = -1,
                                    .high = 1,
                                    .best_scale = best_ternary_scale};
  return kRow;
}

}  // namespace nibble
