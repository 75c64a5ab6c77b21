#include "nibble/eval/latency.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace nibble {
namespace {

// No order holds where one of them is NaN.
bool are_finite(const std::vector<double>& values) {
  return std::all_of(values.begin(), values.end(), [](double v) { return std::isfinite(v); });
}

}  // namespace

double Latency::mean() const {
  double sum = 0;
  for (const double s : seconds) sum += s / static_cast<double>(seconds.size());
  return sum;
}

double Latency::standard_deviation() const {
  if (seconds.size() < 2) return 0;
  const double middle = mean();
  double squares = 0;
  for (const double s : seconds) squares += (s - middle) * (s - middle);
  return std::sqrt(squares / static_cast<double>(seconds.size() - 1));
}

double Latency::quantile(double share) const {
  if (seconds.empty()) return 0;
  if (!are_finite(seconds)) return std::numeric_limits<double>::quiet_NaN();
  std::vector<double> sorted = seconds;
  std::sort(sorted.begin(), sorted.end());
  const double place = share * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<size_t>(place), above = std::min(below + 1, sorted.size() - 1);
  const double part = place - static_cast<double>(below);
  return sorted[below] * (1 - part) + sorted[above] * part;
}

double Latency::spread() const {
  const double middle = median();
  return middle > 0 ? (upper_quartile() - lower_quartile()) / middle : 0;
}

double rate(double amount, const Latency& latency) {
  const double middle = latency.median();
  return middle > 0 ? amount / middle : 0;
}

}  // namespace nibble
