#include "tests/quant/observer.h"

#include <algorithm>
#include <cmath>

#include "nibble/core/error.h"

namespace nibble {
namespace {

// The extremes of the finite values, 0 among them; false where there is no finite value.
bool extremes(std::span<const float> values, ValueRange& out) {
  bool any = false;
  for (const float v : values) {
    if (!std::isfinite(v)) continue;
    any = true;
    out.low = std::min(out.low, v);
    out.high = std::max(out.high, v);
  }
  return any;
}

class MinMax : public RangeObserver {
 public:
  void add(std::span<const float> values) override { extremes(values, range_); }
  ValueRange range() const override { return range_; }

 private:
  ValueRange range_;
};

class MovingAverage : public RangeObserver {
 public:
  explicit MovingAverage(double decay) : decay_(decay) {
    if (!(decay >= 0 && decay < 1))
      throw invalid_argument("the decay of a moving average lies in [0, 1)");
  }
  void add(std::span<const float> values) override {
    ValueRange batch;
    if (!extremes(values, batch)) return;
    const double keep = any_ ? decay_ : 0;
    low_ = keep * low_ + (1 - keep) * double{batch.low};
    high_ = keep * high_ + (1 - keep) * double{batch.high};
    any_ = true;
  }
  ValueRange range() const override {
    return {static_cast<float>(low_), static_cast<float>(high_)};
  }

 private:
  double decay_, low_ = 0, high_ = 0;
  bool any_ = false;
};

// Magnitudes in equal bins over [0, top); signs only as the extremes.
class Histogram : public RangeObserver {
 public:
  explicit Histogram(const HistogramOptions& o) : options_(o) {
    if (!(o.share > 0 && o.share <= 1)) throw invalid_argument("a percentile lies in (0, 1]");
    if (o.bits < 2 || o.bits > 8) throw invalid_argument("an observer's bits lie in 2 .. 8");
    if (o.bins < 256 || o.bins % 2 != 0)
      throw invalid_argument("an observer's histogram has an even number of bins, at least 256");
    counts_.assign(static_cast<size_t>(o.bins), 0.0);
  }

  void add(std::span<const float> values) override {
    ValueRange batch = range_;
    if (!extremes(values, batch)) return;
    range_ = batch;
    cover(range_.absmax());
    // Of nothing but zeros all lie in the first bin.
    const double scale = top_ > 0 ? static_cast<double>(counts_.size()) / top_ : 0;
    for (const float v : values) {
      if (!std::isfinite(v)) continue;
      const auto bin = static_cast<size_t>(std::fabs(double{v}) * scale);
      counts_[std::min(bin, counts_.size() - 1)] += 1;
    }
  }

  ValueRange range() const override {
    if (top_ == 0) return range_;
    const double threshold = options_.rule == HistogramRule::percentile ? percentile()
                             : options_.rule == HistogramRule::mse      ? least_error()
                                                                        : least_divergence();
    const auto t = static_cast<float>(threshold);
    return {std::max(range_.low, -t), std::min(range_.high, t)};
  }

 private:
  // Doubles the range, two bins becoming one, until it holds `largest`.
  void cover(float largest) {
    if (top_ == 0) top_ = largest;
    while (top_ < double{largest}) {
      for (size_t i = 0; i < counts_.size() / 2; ++i)
        counts_[i] = counts_[2 * i] + counts_[2 * i + 1];
      std::fill(counts_.begin() + static_cast<std::ptrdiff_t>(counts_.size() / 2), counts_.end(),
                0.0);
      top_ *= 2;
    }
  }

  double edge(size_t bins) const {
    return top_ * static_cast<double>(bins) / static_cast<double>(counts_.size());
  }

  double percentile() const {
    double total = 0, below = 0;
    for (const double c : counts_) total += c;
    for (size_t i = 0; i < counts_.size(); ++i) {
      below += counts_[i];
      if (below >= options_.share * total) return edge(i + 1);
    }
    return top_;
  }

  // Every value stands for the middle of its bin.
  double squared_error(double threshold) const {
    const double last = static_cast<double>((1 << (options_.bits - 1)) - 1),
                 step = threshold / last;
    double sum = 0;
    for (size_t i = 0; i < counts_.size(); ++i) {
      const double v = edge(i) + edge(1) / 2;
      const double e = v - std::min(std::nearbyint(v / step), last) * step;
      sum += counts_[i] * e * e;
    }
    return sum;
  }

  template <class Cost>
  double cheapest(size_t first, Cost cost) const {
    double best = top_, least = INFINITY;
    for (size_t bins = first; bins <= counts_.size(); ++bins) {
      const double c = cost(bins);
      if (!(c < least)) continue;
      least = c;
      best = edge(bins);
    }
    return best;
  }

  double least_error() const {
    return cheapest(counts_.size() / 64, [this](size_t bins) { return squared_error(edge(bins)); });
  }

  // KL of the clipped distribution (what lies outside falls on the last bin) from itself rounded to
  // few levels, each spread evenly over the bins that had something.
  double divergence(size_t bins, size_t levels) const {
    std::vector<double> p(counts_.begin(), counts_.begin() + static_cast<std::ptrdiff_t>(bins));
    for (size_t i = bins; i < counts_.size(); ++i) p[bins - 1] += counts_[i];
    std::vector<double> q(bins, 0.0);
    for (size_t level = 0; level < levels; ++level) {
      const size_t begin = level * bins / levels, end = (level + 1) * bins / levels;
      double sum = 0, used = 0;
      for (size_t i = begin; i < end; ++i) {
        sum += counts_[i];
        used += p[i] > 0 ? 1 : 0;
      }
      for (size_t i = begin; i < end; ++i) q[i] = p[i] > 0 && used > 0 ? sum / used : 0;
    }
    double of_p = 0, of_q = 0, out = 0;
    for (size_t i = 0; i < bins; ++i) of_p += p[i], of_q += q[i];
    if (of_q == 0) return INFINITY;
    for (size_t i = 0; i < bins; ++i) {
      if (p[i] == 0) continue;
      const double share = std::max(q[i] / of_q, 1e-12);
      out += p[i] / of_p * std::log(p[i] / of_p / share);
    }
    return out;
  }

  double least_divergence() const {
    const size_t levels = size_t{1} << (options_.bits - 1);
    return cheapest(levels, [this, levels](size_t bins) { return divergence(bins, levels); });
  }

  HistogramOptions options_;
  ValueRange range_;
  double top_ = 0;
  std::vector<double> counts_;
};

}  // namespace

std::unique_ptr<RangeObserver> min_max_observer() { return std::make_unique<MinMax>(); }
std::unique_ptr<RangeObserver> moving_average_observer(double decay) {
  return std::make_unique<MovingAverage>(decay);
}
std::unique_ptr<RangeObserver> histogram_observer(const HistogramOptions& options) {
  return std::make_unique<Histogram>(options);
}

}  // namespace nibble
