#include "nibble/report/scale.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "nibble/report/numbers.h"

namespace nibble {
namespace {

/// The round step (1, 2 or 5 times a power of ten) nearest to a `count`th of the range.
double round_step(double range, int count) {
  const double rough = range / std::max(count, 1);
  const double power = std::pow(10.0, std::floor(std::log10(rough)));
  const double lead = rough / power;
  return power * (lead < 1.5 ? 1 : lead < 3.5 ? 2 : lead < 7.5 ? 5 : 10);
}

std::string label_of(double value, double step) {
  if (std::abs(value) >= 1e6 || (value != 0 && std::abs(value) < 1e-4)) {
    return format_significant(value, 3);
  }
  const int digits = std::clamp(static_cast<int>(std::ceil(-std::log10(step) - 1e-9)), 0, 6);
  if (digits == 0) return format_count(static_cast<int64_t>(std::llround(value)));
  return format_fixed(value, digits);
}

/// Whole numbers in full: one significant digit makes "2e1" of 20.
std::string log_label(double value) {
  const bool whole = value > 0.999 && value < 1e6 * 0.999;
  return whole ? format_count(std::llround(value)) : format_significant(value, 1);
}

std::vector<Tick> linear_ticks(const Scale& s, int count) {
  const double step = round_step(s.high - s.low, count);
  std::vector<Tick> out;
  const double slack = step * 1e-6;
  for (double i = std::ceil((s.low - slack) / step); i * step <= s.high + slack; ++i) {
    out.push_back({i * step, label_of(i * step, step)});
    if (out.size() >= 50) break;
  }
  return out;
}

/// Powers of ten; 2 and 5 times them as well where there are few.
std::vector<Tick> log_ticks(const Scale& s, int count) {
  const double first = std::floor(std::log10(s.low)), last = std::ceil(std::log10(s.high));
  const bool fine = last - first <= 2;
  const double stride = std::max(1.0, std::ceil((last - first) / std::max(count, 1)));
  std::vector<Tick> out;
  for (double e = first; e <= last; e += stride) {
    for (const double lead : {1.0, 2.0, 5.0}) {
      const double value = lead * std::pow(10.0, e);
      if (lead > 1 && !fine) break;
      if (value < s.low * 0.999 || value > s.high * 1.001) continue;
      out.push_back({value, log_label(value)});
    }
  }
  return out;
}

}  // namespace

double Scale::place(double value) const {
  if (!std::isfinite(value) || (log && value <= 0)) return from;
  const double share = log ? (std::log(value) - std::log(low)) / (std::log(high) - std::log(low))
                           : (value - low) / (high - low);
  return std::isfinite(share) ? from + (to - from) * std::clamp(share, 0.0, 1.0) : from;
}

std::vector<Tick> Scale::ticks(int count) const {
  return log ? log_ticks(*this, count) : linear_ticks(*this, count);
}

Scale scale_over(const std::vector<double>& values, double from, double to, bool log,
                 bool with_zero) {
  std::vector<double> used;
  for (const double v : values) {
    // A bound on size keeps differences and powers finite.
    if (std::isfinite(v) && std::abs(v) < 1e100 && (!log || v > 1e-100)) used.push_back(v);
  }
  if (with_zero && !log) used.push_back(0);
  if (used.empty()) return {log ? 0.1 : 0.0, 1, from, to, log};
  const auto [least, most] = std::minmax_element(used.begin(), used.end());
  double low = *least, high = *most;
  if (log) {
    low = std::pow(10.0, std::floor(std::log10(low) * 2 - 0.05) / 2);
    high = std::pow(10.0, std::ceil(std::log10(high) * 2 + 0.05) / 2);
    return {low, high, from, to, true};
  }
  if (low == high) {
    const double half = low == 0 ? 1 : std::abs(low) * 0.1;
    if (!with_zero || low > 0) high += half;
    if (!with_zero || low < 0) low -= half;
    if (low == high) high += half;
  }
  const double step = round_step(high - low, 5);
  return {std::floor(low / step + 1e-9) * step, std::ceil(high / step - 1e-9) * step, from, to,
          false};
}

}  // namespace nibble
