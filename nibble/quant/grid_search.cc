#include "nibble/quant/grid_search.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "nibble/core/error.h"
#include "nibble/core/parallel.h"
#include "nibble/quant/block_scales.h"
#include "nibble/quant/scale.h"

namespace nibble {
namespace {

// Scales that are tried: the range's own, divided by these. Few levels profit from clipping more.
constexpr std::array kClips = {0.85f, 0.9f,  0.95f, 1.0f,  1.05f, 1.1f, 1.15f,
                               1.2f,  1.27f, 1.35f, 1.45f, 1.6f,  2.0f, 2.6f};
constexpr size_t kClipsOfManyLevels = 11;

struct Candidate {
  Grid grid;
  double gain = -1;  // how much error these levels take away, with their best scale
};

// gain = (sum h x u)^2 / sum h u^2 for the levels u of this grid, and the scale that reaches it.
Candidate fit(std::span<const float> x, std::span<const float> h, Grid g) {
  float xu = 0, uu = 0;
  const float inverse = 1 / g.scale;
  for (size_t i = 0; i < x.size(); ++i) {
    const float v = x[i] * inverse;
    const float clamped = v < g.low ? g.low : (v > g.high ? g.high : v);
    const float u = (clamped + 0x1.8p23f) - 0x1.8p23f;
    xu += h[i] * x[i] * u;
    uu += h[i] * u * u;
  }
  if (!(uu > 0)) return {g, -1};
  g.scale = xu / uu;
  return {g, double{xu} * xu / uu};
}

double error_of(std::span<const float> x, std::span<const float> h, const Grid& g) {
  double sum = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const double e = double{x[i]} - double{nearest_level(x[i], g.scale, g.low, g.high)} * g.scale;
    sum += h[i] * e * e;
  }
  return sum;
}

class Search {
 public:
  Search(const LevelRange& range, std::span<const float> x, std::span<const float> h, DType dtype)
      : range_(range), x_(x), h_(h), dtype_(dtype) {
    for (const float v : x) {
      low_ = std::min(low_, v);
      high_ = std::max(high_, v);
    }
  }

  Grid run() {
    const float divisor = static_cast<float>(range_.high - range_.low) / 2;
    const Grid start = grid_of_range(range_, low_, high_, divisor, dtype_);
    if (start.scale == 0 || !std::isfinite(start.scale)) return start;
    best_ = start;
    best_error_ = error_of(x_, h_, start);
    if (!range_.asymmetric) keep_better(grid_of_range(range_, low_, high_, narrow(), dtype_));
    range_.asymmetric ? try_zeros() : try_signs(std::max(-low_, high_) / divisor);
    settle();
    return best_;
  }

 private:
  // What rtn divides by where it is not told otherwise.
  float narrow() const { return static_cast<float>(range_.high); }

  bool keep_better(const Grid& g) {
    const double error = error_of(x_, h_, g);
    if (!(error < best_error_)) return false;
    best_ = g;
    best_error_ = error;
    return true;
  }

  std::span<const float> clips() const {
    return {kClips.data(), range_.bits > 2 ? kClipsOfManyLevels : kClips.size()};
  }

  void try_signs(float scale) {
    const auto low = static_cast<float>(range_.low), high = static_cast<float>(range_.high);
    const bool lopsided = -range_.low != range_.high;
    for (const float clip : clips()) {
      offer(fit(x_, h_, {scale / clip, low, high}));
      if (lopsided) offer(fit(x_, h_, {-scale / clip, low, high}));
    }
  }

  void try_zeros() {
    const float last = static_cast<float>(range_.codes() - 1), scale = (high_ - low_) / last;
    for (const float clip : clips()) {
      const float s = scale / clip, middle = std::nearbyint(last / 2 - (low_ + high_) / (2 * s));
      for (const float shift : {-1.0f, 0.0f, 1.0f}) {
        const float zero = std::clamp(middle + shift, 0.0f, last);
        offer(fit(x_, h_, {s, -zero, last - zero}));
      }
    }
  }

  void offer(const Candidate& c) {
    if (c.gain > most_.gain) most_ = c;
  }

  // The best levels with their scale as it is stored, if that is better than where we began; then
  // once more from there.
  void settle() {
    for (int round = 0; round < 2 && most_.gain >= 0; ++round) {
      Grid g = most_.grid;
      g.scale = round_signed_scale(g.scale, dtype_);
      if (g.scale == 0 || !std::isfinite(g.scale)) return;
      if (!keep_better(g)) return;
      most_ = fit(x_, h_, g);
    }
  }

  const LevelRange& range_;
  std::span<const float> x_, h_;
  DType dtype_;
  float low_ = 0, high_ = 0;
  Grid best_;
  double best_error_ = 0;
  Candidate most_;
};

}  // namespace

Grid search_grid(const LevelRange& range, std::span<const float> x, std::span<const float> h,
                 DType scale_dtype) {
  return Search(range, x, h, scale_dtype).run();
}

void search_grids(GridMatrix& m, std::span<const float> w, std::span<const float> importance,
                  int threads) {
  if (m.range().blocks) return settle_blocks(m, w, importance, threads);
  const auto k = static_cast<size_t>(m.k()), group = static_cast<size_t>(m.group());
  std::vector<float> ones;
  if (importance.empty()) importance = ones = std::vector<float>(k, 1.0f);
  NIBBLE_CHECK(importance.size() == k && w.size() == static_cast<size_t>(m.n()) * k);
  if (m.shared()) {
    std::vector<float> all;
    for (int64_t r = 0; r < m.n(); ++r) all.insert(all.end(), importance.begin(), importance.end());
    m.grid(0, 0) = search_grid(m.range(), w, all, m.scale_dtype());
  }
  parallel_for(m.n(), threads, [&](int64_t r) {
    const auto row = w.subspan(static_cast<size_t>(r) * k, k);
    const auto levels = m.levels(r);
    for (size_t begin = 0; begin < k; begin += group) {
      const size_t size = std::min(group, k - begin);
      Grid& g = m.grid(r, static_cast<int64_t>(begin / group));
      if (!m.shared())
        g = search_grid(m.range(), row.subspan(begin, size), importance.subspan(begin, size),
                        m.scale_dtype());
      for (size_t i = begin; i < begin + size; ++i)
        levels[i] = static_cast<int16_t>(nearest_level(row[i], g.scale, g.low, g.high));
    }
  });
}

}  // namespace nibble
