#include "nibble/eval/distribution.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "nibble/core/checked.h"
#include "nibble/core/error.h"

namespace nibble {
namespace {

void check_matrix(std::string_view tensor, size_t values, int64_t n, int64_t columns, double k) {
  const auto elements = checked_mul(n, columns);
  if (n < 0 || columns < 0 || !elements || static_cast<uint64_t>(*elements) != values) {
    throw invalid_argument(
        fmt::format("a matrix of {} x {} needs as many values, got {}", n, columns, values))
        .at("tensor " + in_quotes(tensor));
  }
  if (!(k > 0)) {
    throw invalid_argument(
        fmt::format("outliers lie beyond k standard deviations with k above 0, got {}", k))
        .at("tensor " + in_quotes(tensor));
  }
}

std::span<const float> row_of(std::span<const float> values, int64_t r, int64_t columns) {
  return values.subspan(static_cast<size_t>(r * columns), static_cast<size_t>(columns));
}

int64_t count_beyond(std::span<const float> values, double mean, double distance) {
  return std::count_if(values.begin(), values.end(), [&](float v) {
    return std::isfinite(v) && std::abs(static_cast<double>(v) - mean) > distance;
  });
}

float absmax_of(std::span<const float> values) {
  float out = 0;
  for (const float v : values) {
    if (std::isfinite(v)) out = std::max(out, std::abs(v));
  }
  return out;
}

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

/// A running sum of squared rounding errors under one symmetric scale at a time.
class SquaredError {
 public:
  explicit SquaredError(int bits) : top_(static_cast<float>((1 << (bits - 1)) - 1)) {}

  /// Rounds `values`, limited to [low, high], with the scale of that limited range.
  void add(std::span<const float> values, float low, float high) {
    float absmax = 0;
    for (const float v : values) {
      if (std::isfinite(v)) absmax = std::max(absmax, std::abs(std::clamp(v, low, high)));
    }
    const float scale = absmax / top_;
    for (const float v : values) {
      if (!std::isfinite(v)) continue;
      // A scale of 0 (all zeros, or so small that it underflows) stores zeros.
      const float code = scale > 0 ? std::nearbyint(std::clamp(v, low, high) / scale) : 0.0f;
      const double error =
          static_cast<double>(std::clamp(code, -top_ - 1, top_) * scale) - static_cast<double>(v);
      sum_ += error * error;
      ++count_;
    }
  }
  double mean() const { return count_ == 0 ? 0 : sum_ / static_cast<double>(count_); }

 private:
  float top_;
  double sum_ = 0;
  int64_t count_ = 0;
};

}  // namespace

Histogram histogram(std::span<const float> values, double low, double high, int bins) {
  if (bins < 1) throw invalid_argument(fmt::format("a histogram needs a bin, got {}", bins));
  if (!std::isfinite(low) || !std::isfinite(high) || low > high) {
    throw invalid_argument(
        fmt::format("a histogram needs finite bounds, low <= high, got {} and {}", low, high));
  }
  if (low == high) {
    const double half = low == 0 ? 0.5 : std::abs(low) / 2;
    low -= half;
    high += half;
  }
  Histogram out{low, high, std::vector<int64_t>(static_cast<size_t>(bins))};
  const double per_unit = bins / (high - low);
  for (const float v : values) {
    if (!std::isfinite(v)) continue;
    const double place = std::floor((static_cast<double>(v) - low) * per_unit);
    ++out.counts[static_cast<size_t>(std::clamp(place, 0.0, static_cast<double>(bins - 1)))];
  }
  return out;
}

Moments moments(std::span<const float> values) {
  Moments out;
  double sum = 0;
  for (const float v : values) {
    if (!std::isfinite(v)) {
      ++out.not_finite;
      continue;
    }
    const double x = v;
    out.minimum = out.count == 0 ? x : std::min(out.minimum, x);
    out.maximum = out.count == 0 ? x : std::max(out.maximum, x);
    sum += x;
    ++out.count;
  }
  if (out.count == 0) return out;
  out.absmax = std::max(std::abs(out.minimum), std::abs(out.maximum));
  if (out.minimum == out.maximum) {  // exactly, so that rounding of the sum makes no deviation
    out.mean = out.minimum;
    return out;
  }
  const auto count = static_cast<double>(out.count);
  out.mean = sum / count;
  double square = 0, fourth = 0;
  for (const float v : values) {
    if (!std::isfinite(v)) continue;
    const double d = static_cast<double>(v) - out.mean;
    square += d * d;
    fourth += d * d * d * d;
  }
  const double variance = square / count;
  out.standard_deviation = std::sqrt(variance);
  if (variance > 0) out.kurtosis = fourth / count / (variance * variance);
  return out;
}

OutlierStats find_outliers(std::string tensor, std::span<const float> values, int64_t n,
                           int64_t columns, double k) {
  check_matrix(tensor, values.size(), n, columns, k);
  OutlierStats out;
  out.tensor = std::move(tensor);
  out.k = k;
  out.moments = moments(values);
  const double distance = k * out.moments.standard_deviation;
  std::vector<double> absmaxes;
  for (int64_t r = 0; r < n; ++r) {
    const auto channel = row_of(values, r, columns);
    const Moments own = moments(channel);
    out.by_channel.push_back(count_beyond(channel, out.moments.mean, distance));
    out.by_own_channel.push_back(count_beyond(channel, own.mean, k * own.standard_deviation));
    out.outliers += out.by_channel.back();
    if (absmaxes.empty() || own.absmax > absmaxes[static_cast<size_t>(out.worst_channel)]) {
      out.worst_channel = r;
    }
    absmaxes.push_back(own.absmax);
  }
  if (out.moments.count > 0) {
    out.share = static_cast<double>(out.outliers) / static_cast<double>(out.moments.count);
  }
  const double middle = median(absmaxes);
  if (middle > 0) out.worst_channel_ratio = out.moments.absmax / middle;
  return out;
}

RemedyErrors remedy_errors(std::string tensor, std::span<const float> values, int64_t n,
                           int64_t columns, int bits, double k) {
  check_matrix(tensor, values.size(), n, columns, k);
  if (bits < 2 || bits > 8) {
    throw invalid_argument(fmt::format("codes have 2 to 8 bits, got {}", bits))
        .at("tensor " + in_quotes(tensor));
  }
  const Moments m = moments(values);
  RemedyErrors out;
  out.tensor = std::move(tensor);
  out.bits = bits;
  out.clip_threshold = k * m.standard_deviation;
  const float everything = absmax_of(values);
  SquaredError whole(bits), clipped(bits), rows(bits);
  whole.add(values, -everything, everything);
  clipped.add(values, static_cast<float>(m.mean - out.clip_threshold),
              static_cast<float>(m.mean + out.clip_threshold));
  for (int64_t r = 0; r < n; ++r) rows.add(row_of(values, r, columns), -everything, everything);
  out.per_tensor = whole.mean();
  out.clipped = clipped.mean();
  out.per_channel = rows.mean();
  return out;
}

}  // namespace nibble
