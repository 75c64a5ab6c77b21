#include "nibble/quant/group_fit.h"

#include <algorithm>
#include <cmath>

namespace nibble {
namespace {

// Starting grids, wider and narrower than the range of the weights.
constexpr int kTries = 19;
constexpr float kWidest = 0.8f, kNarrowest = 1.35f;
constexpr int kRefits = 2;

float factor_of(int i) {
  return kWidest + (kNarrowest - kWidest) * static_cast<float>(i) / (kTries - 1);
}

// Sums over a group with the levels u that a grid gives.
struct Moments {
  double h = 0, u = 0, uu = 0, x = 0, xu = 0, xx = 0;
};

Moments moments(const LevelRange& range, const WeighedGroup& group, const Grid& g) {
  Moments m;
  for (size_t i = 0; i < group.x.size(); ++i) {
    const float x = group.x[i], h = group.h[i];
    const float u = nearest_level(x - g.offset, g, range);
    m.h += h;
    m.u += double{h} * u;
    m.uu += double{h} * u * u;
    m.x += double{h} * x;
    m.xu += double{h} * x * u;
    m.xx += double{h} * x * x;
  }
  return m;
}

double error_after(const Moments& m, const Grid& g) {
  const double s = g.scale, o = g.offset;
  return m.xx - 2 * s * m.xu - 2 * o * m.x + s * s * m.uu + 2 * s * o * m.u + o * o * m.h;
}

// The scale, and the offset, that suit the levels best.
Grid least_squares(const LevelRange& range, const Moments& m, Grid g) {
  if (range.offsets) {
    const double d = m.h * m.uu - m.u * m.u;
    if (!(d > 0)) return g;
    g.scale = static_cast<float>((m.h * m.xu - m.x * m.u) / d);
    g.offset = static_cast<float>((m.uu * m.x - m.u * m.xu) / d);
    if (g.offset <= 0) return g;
    g.offset = 0;
  }
  if (m.uu > 0) g.scale = static_cast<float>(m.xu / m.uu);
  return g;
}

class GroupFit {
 public:
  GroupFit(const LevelRange& range, const WeighedGroup& group) : range_(range), group_(group) {
    low_ = *std::min_element(group.x.begin(), group.x.end());
    high_ = *std::max_element(group.x.begin(), group.x.end());
    best_.low = static_cast<float>(range.low);
    best_.high = static_cast<float>(range.high);
  }

  Grid run() {
    if (range_.offsets)
      from_offset();
    else
      from_zero();
    for (int i = 0; i < kRefits && best_error_ < INFINITY; ++i) offer(best_);
    return best_;
  }

 private:
  void from_offset() {
    const float low = std::min(low_, 0.0f), span = high_ - low;
    best_.offset = low;
    if (!(span > 0)) return;
    for (int i = 0; i < kTries; ++i) {
      Grid g = best_;
      g.offset = low;
      g.scale = span / (static_cast<float>(range_.high) * factor_of(i));
      offer(g);
    }
  }

  // The level of the larger magnitude on either side.
  void from_zero() {
    const float largest = std::max(-low_, high_);
    if (!(largest > 0)) return;
    for (int i = 0; i < kTries; ++i) {
      for (const int end : {range_.low, range_.high}) {
        for (const float sign : {1.0f, -1.0f}) {
          Grid g = best_;
          g.scale = sign * largest / (static_cast<float>(end) * factor_of(i));
          offer(g);
        }
      }
    }
  }

  void offer(const Grid& start) {
    const Moments m = moments(range_, group_, start);
    const Grid g = least_squares(range_, m, start);
    const double error = error_after(m, g);
    if (!(error < best_error_)) return;
    best_error_ = error;
    best_ = g;
  }

  const LevelRange& range_;
  const WeighedGroup& group_;
  float low_ = 0, high_ = 0;
  Grid best_;
  double best_error_ = INFINITY;
};

}  // namespace

Grid fit_group(const LevelRange& range, const WeighedGroup& group) {
  return GroupFit(range, group).run();
}

double error_on(const LevelRange& range, const WeighedGroup& group, const Grid& g) {
  double sum = 0;
  for (size_t i = 0; i < group.x.size(); ++i) {
    const float x = group.x[i] - g.offset, e = x - nearest_level(x, g, range) * g.scale;
    sum += double{group.h[i]} * e * e;
  }
  return sum;
}

}  // namespace nibble
