#include "nibble/nn/sampling.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "nibble/core/error.h"
#include "nibble/nn/losses.h"

namespace nibble {
namespace {

std::vector<float> penalized(std::span<const float> logits, std::span<const int32_t> history,
                             double penalty) {
  std::vector<float> out(logits.begin(), logits.end());
  std::vector<bool> seen(logits.size());
  for (const int32_t id : history) {
    const auto i = static_cast<size_t>(id);
    if (seen[i]) continue;
    seen[i] = true;
    out[i] = static_cast<float>(out[i] > 0 ? out[i] / penalty : out[i] * penalty);
  }
  return out;
}

// exp((logit - highest) / temperature): the likeliest token weighs 1.
std::vector<double> weights_of(std::span<const float> logits, double temperature) {
  const double highest = *std::max_element(logits.begin(), logits.end());
  std::vector<double> out(logits.size());
  for (size_t i = 0; i < out.size(); ++i) out[i] = std::exp((logits[i] - highest) / temperature);
  return out;
}

// Token ids, likeliest first, the lower id first where two weigh the same.
std::vector<size_t> by_weight(const std::vector<double>& weights) {
  std::vector<size_t> order(weights.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return weights[a] > weights[b]; });
  return order;
}

// The number of tokens, likeliest first, that the filters leave: at least one.
size_t kept(const std::vector<double>& weights, const std::vector<size_t>& order,
            const SamplingOptions& o) {
  size_t count = o.top_k > 0 ? std::min(static_cast<size_t>(o.top_k), order.size()) : order.size();
  if (o.top_p < 1) {
    double total = 0, sum = 0;
    for (size_t i = 0; i < count; ++i) total += weights[order[i]];
    size_t n = 0;
    while (n < count && sum < o.top_p * total) sum += weights[order[n++]];
    count = std::max<size_t>(n, 1);
  }
  size_t likely = 1;
  while (likely < count && weights[order[likely]] >= o.min_p) ++likely;
  return std::min(count, likely);
}

void require(bool good, std::string_view what, double got) {
  if (!good) throw invalid_argument(fmt::format("{} (got {})", what, got));
}

}  // namespace

void validate(const SamplingOptions& o) {
  require(std::isfinite(o.temperature) && o.temperature >= 0, "the temperature must be 0 or more",
          o.temperature);
  require(o.top_k >= 0, "top-k must be 0 (all) or more", static_cast<double>(o.top_k));
  require(o.top_p > 0 && o.top_p <= 1, "top-p must be above 0 and at most 1", o.top_p);
  require(o.min_p >= 0 && o.min_p <= 1, "min-p must be between 0 and 1", o.min_p);
  require(std::isfinite(o.repetition_penalty) && o.repetition_penalty > 0,
          "the repetition penalty must be above 0", o.repetition_penalty);
}

int32_t sample(std::span<const float> logits, std::span<const int32_t> history,
               const SamplingOptions& o, PyRandom& random) {
  std::vector<float> changed;
  if (o.repetition_penalty != 1) {
    changed = penalized(logits, history, o.repetition_penalty);
    logits = changed;
  }
  if (o.temperature <= 0) return argmax(logits);
  std::vector<double> weights = weights_of(logits, o.temperature);
  if (o.top_k > 0 || o.top_p < 1 || o.min_p > 0) {
    const std::vector<size_t> order = by_weight(weights);
    for (size_t i = kept(weights, order, o); i < order.size(); ++i) weights[order[i]] = 0;
  }
  return static_cast<int32_t>(random.choice(weights));
}

}  // namespace nibble
