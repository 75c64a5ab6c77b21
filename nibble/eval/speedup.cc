#include "nibble/eval/speedup.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace nibble {
namespace {

constexpr double kErrors = 0.05;  // how often an interval may miss
// What is closer to 1 is no difference worth a word: where two copies of one model happen to lie in
// memory made up to 0.04 of one.
constexpr double kMargin = 0.05;
constexpr int64_t kStretches = 20;

/// The probability that of `n` tosses of a coin exactly `k` fall on heads.
double heads(int64_t n, int64_t k) {
  const auto a = static_cast<double>(n), b = static_cast<double>(k);
  return std::exp(std::lgamma(a + 1) - std::lgamma(b + 1) - std::lgamma(a - b + 1) -
                  a * std::log(2.0));
}

/// How many of n values in order may be left out at either end: each lies above the median as a
/// coin falls on heads, so all but the outer k hold it unless at most k - 1 fall on one side.
int64_t left_out(int64_t n) {
  double missed = 0;
  for (int64_t k = 0; k <= n / 2; ++k) {
    missed += 2 * heads(n, k);
    if (missed > kErrors) return k - 1;
  }
  return -1;
}

// Medians of stretches of neighbours. Their length is odd: the median of an odd number of values
// lies above that of their distribution as often as below it, as each value does.
std::vector<double> stretches(std::span<const double> values) {
  const int64_t part = std::ssize(values) / kStretches, length = std::max<int64_t>(part, 1);
  const auto odd = static_cast<size_t>(length % 2 == 0 ? length - 1 : length);
  std::vector<double> out;
  for (size_t i = 0; i + odd <= values.size(); i += odd) {
    const auto one = values.subspan(i, odd);
    out.push_back(Latency{{one.begin(), one.end()}}.median());
  }
  return out;
}

}  // namespace

std::optional<Interval> median_interval(std::span<const double> values) {
  std::vector<double> sorted = stretches(values);
  const int64_t out = left_out(std::ssize(sorted));
  if (out < 0) return {};
  for (const double v : sorted) {
    if (!std::isfinite(v)) return {};
  }
  std::sort(sorted.begin(), sorted.end());
  const auto first = static_cast<size_t>(out);
  return Interval{sorted[first], sorted[sorted.size() - 1 - first]};
}

Speedup speedup(const Latency& model, const Latency& base) {
  Speedup out;
  if (model.seconds.empty() || model.runs() != base.runs()) return out;
  Latency ratios;
  for (size_t i = 0; i < model.seconds.size(); ++i)
    ratios.seconds.push_back(base.seconds[i] / model.seconds[i]);
  out.rounds = ratios.runs();
  out.median = ratios.median();
  out.interval = median_interval(ratios.seconds);
  return out;
}

Speed judge_speed(const Speedup& s) {
  if (!s.interval) return Speed::unknown;
  const auto [low, high] = *s.interval;
  if (low > 1 + kMargin) return Speed::faster;
  if (high < 1 - kMargin) return Speed::slower;
  return low >= 1 - kMargin && high <= 1 + kMargin ? Speed::same : Speed::unclear;
}

}  // namespace nibble
