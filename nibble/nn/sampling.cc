#include "nibble/nn/sampling.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <unordered_map>
#include <vector>

#include "nibble/core/error.h"
#include "nibble/nn/losses.h"
#include "nibble/nn/sampling_fields.h"

namespace nibble {
namespace {

// Repetition, presence and frequency: each token that occurred once, with how often it did.
void penalize(std::span<float> logits, std::span<const int32_t> history, const SamplingOptions& o) {
  std::unordered_map<int32_t, int64_t> counts;
  for (const int32_t id : history) ++counts[id];
  for (const auto& [id, count] : counts) {
    float& l = logits[static_cast<size_t>(id)];
    l = static_cast<float>(l > 0 ? l / o.repetition_penalty : l * o.repetition_penalty);
    l = static_cast<float>(l - o.presence_penalty -
                           o.frequency_penalty * static_cast<double>(count));
  }
}

bool changes_logits(const SamplingOptions& o) {
  return o.repetition_penalty != 1 || o.presence_penalty != 0 || o.frequency_penalty != 0 ||
         o.dry.multiplier != 0 || !o.bias.empty();
}

std::vector<float> changed_logits(std::span<const float> logits, std::span<const int32_t> history,
                                  const SamplingOptions& o) {
  std::vector<float> out(logits.begin(), logits.end());
  for (const LogitBias& b : o.bias) out[static_cast<size_t>(b.id)] += b.value;
  penalize(out, history, o);
  penalize_repetition(out, history, o.dry);
  return out;
}

// The least logit that top-n-sigma leaves: of those that are finite, the population's deviation.
double least_by_sigma(std::span<const float> logits, double sigmas) {
  double sum = 0, squares = 0, highest = -HUGE_VAL;
  int64_t n = 0;
  for (const double l : logits) {
    if (!std::isfinite(l)) continue;
    sum += l, ++n, highest = std::max(highest, l);
  }
  if (n == 0) return -HUGE_VAL;
  const double mean = sum / static_cast<double>(n);
  for (const double l : logits) squares += std::isfinite(l) ? (l - mean) * (l - mean) : 0;
  return highest - sigmas * std::sqrt(squares / static_cast<double>(n));
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

// Leaves the tokens whose information -log p is nearest to the entropy, until their share reaches
// the mass; as many more as are as near as the last of them.
void keep_typical(std::vector<double>& weights, double mass) {
  const double total = std::accumulate(weights.begin(), weights.end(), 0.0);
  double entropy = 0;
  for (const double w : weights) entropy -= w > 0 ? w / total * std::log(w / total) : 0;
  struct Far {
    double distance, share;
  };
  std::vector<Far> order;
  const auto distance = [&](double w) { return std::abs(-std::log(w / total) - entropy); };
  for (const double w : weights) {
    if (w > 0) order.push_back({distance(w), w / total});
  }
  std::sort(order.begin(), order.end(), [](Far a, Far b) { return a.distance < b.distance; });
  double sum = 0;
  size_t last = 0;
  while (last + 1 < order.size() && (sum += order[last].share) < mass) ++last;
  for (double& w : weights) {
    if (w > 0 && distance(w) > order[last].distance) w = 0;
  }
}

// After the temperature: the weights of tokens that the filters do not leave become 0.
void filter(std::vector<double>& weights, const SamplingOptions& o) {
  if (o.top_k > 0 || o.top_p < 1 || o.min_p > 0) {
    const std::vector<size_t> order = by_weight(weights);
    for (size_t i = kept(weights, order, o); i < order.size(); ++i) weights[order[i]] = 0;
  }
  if (o.typical_p < 1) keep_typical(weights, o.typical_p);
}

}  // namespace

void validate(const SamplingOptions& options) {
  for (const SamplingField& f : sampling_fields()) {
    const double value = f.value(options);
    if (!std::isfinite(value) || !f.good(value))
      throw invalid_argument(fmt::format("{} (got {})", f.rule, value));
  }
}

std::vector<double> sampling_weights(std::span<const float> logits,
                                     std::span<const int32_t> history, const SamplingOptions& o) {
  std::vector<float> changed;
  if (changes_logits(o)) {
    changed = changed_logits(logits, history, o);
    logits = changed;
  }
  if (std::isinf(logits[static_cast<size_t>(argmax(logits))]))
    throw invalid_argument("`logit_bias` leaves no token to choose");
  if (o.temperature <= 0) {
    std::vector<double> out(logits.size());
    out[static_cast<size_t>(argmax(logits))] = 1;
    return out;
  }
  std::vector<double> weights = weights_of(logits, o.temperature);
  if (o.top_n_sigma > 0) {
    const double least = least_by_sigma(logits, o.top_n_sigma);
    for (size_t i = 0; i < weights.size(); ++i) weights[i] = logits[i] < least ? 0 : weights[i];
  }
  filter(weights, o);
  return weights;
}

int32_t sample(std::span<const float> logits, std::span<const int32_t> history,
               const SamplingOptions& o, PyRandom& random) {
  if (o.temperature <= 0 && !changes_logits(o)) return argmax(logits);
  const std::vector<double> weights = sampling_weights(logits, history, o);
  if (o.temperature <= 0)
    return static_cast<int32_t>(std::max_element(weights.begin(), weights.end()) - weights.begin());
  return static_cast<int32_t>(random.choice(weights));
}

}  // namespace nibble
