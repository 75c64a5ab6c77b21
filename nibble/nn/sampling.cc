#include "nibble/nn/sampling.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "nibble/nn/losses.h"

namespace nibble {

int32_t sample(std::span<const float> logits, const SamplingOptions& options, PyRandom& random) {
  if (options.temperature <= 0) return argmax(logits);
  const double highest = *std::max_element(logits.begin(), logits.end());
  std::vector<double> weights(logits.size());
  for (size_t i = 0; i < weights.size(); ++i)
    weights[i] = std::exp((logits[i] - highest) / options.temperature);
  return static_cast<int32_t>(random.choice(weights));
}

}  // namespace nibble
