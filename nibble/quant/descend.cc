#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>

#include "nibble/core/checked.h"
#include "nibble/core/parallel.h"
#include "nibble/kernels/rounding.h"
#include "nibble/quant/dense.h"
#include "nibble/quant/feedback.h"
#include "nibble/quant/lanes.h"
#include "nibble/quant/scale.h"
#include "nibble/quant/second_order.h"

namespace nibble {
namespace {

constexpr int64_t kDescentBlock = 128;  // columns between two large products
constexpr int64_t kDescentSlab = 64;    // rows of one piece of work
constexpr int64_t kLargestTile = 128;   // columns that are solved together
constexpr int64_t kPieceOfGroup = 64;   // where a group is larger than that
constexpr std::array kScaleTries = {1.0f, 0.92f, 0.96f, 1.04f, 1.09f};

// The columns [begin, begin + size) of H, all of one group.
struct Tile {
  int64_t begin = 0, size = 0, group = 0;
  Feedback feedback;
  std::vector<float> inverse;  // of H's block [size, size]
};

struct Tiles {
  std::vector<Tile> all;
  bool whole_groups = true;
};

bool invert(const std::vector<float>& h, int64_t k, Tile& t) {
  std::vector<float> l(static_cast<size_t>(t.size * t.size));
  for (int64_t i = 0; i < t.size; ++i)
    std::copy_n(h.data() + (t.begin + i) * k + t.begin, t.size, l.data() + i * t.size);
  if (!cholesky(l, t.size, 1)) return false;
  t.inverse.assign(l.size(), 0);
  for (int64_t i = 0; i < t.size; ++i) t.inverse[static_cast<size_t>(i * t.size + i)] = 1;
  cholesky_solve(l, t.size, t.inverse.data(), t.size, 1);
  return true;
}

bool make_tiles(const DampedHessian& h, int64_t group, Tiles& out) {
  out.whole_groups = group <= kLargestTile;
  const int64_t step = out.whole_groups ? group : kPieceOfGroup;
  for (int64_t first = 0; first < h.k; first += group) {
    const int64_t end = std::min(first + group, h.k);
    for (int64_t at = first; at < end; at += step) {
      Tile t;
      t.begin = at;
      t.size = std::min(step, end - at);
      t.group = first / group;
      std::vector<int64_t> order(static_cast<size_t>(t.size));
      std::iota(order.begin(), order.end(), t.begin);
      if (!make_feedback(h.h.data(), h.k, order, 1, t.feedback) || !invert(h.h, h.k, t))
        return false;
      out.all.push_back(std::move(t));
    }
  }
  return true;
}

using TileColumns = std::array<Lanes, kLargestTile>;

// Grids of kLanes rows, and the levels they lead to.
struct Attempt {
  Lanes scale, low, high, error;
  TileColumns level;
};

class DescentSlab {
 public:
  DescentSlab(GridMatrix& m, std::span<const float> w, const DampedHessian& hessian,
              const Tiles& tiles, const DescentOptions& options, int64_t first, int64_t rows)
      : m_(m),
        h_(hessian.h.data()),
        tiles_(tiles),
        search_(options.search_scales && tiles.whole_groups && m.grids_can_change()),
        fit_(options.search_scales && !tiles.whole_groups && m.grids_can_change()),
        first_(first),
        rows_(rows),
        k_(hessian.k) {
    std::vector<float> error(static_cast<size_t>(rows * k_));
    gradient_.resize(error.size());
    change_.resize(static_cast<size_t>(rows * kDescentBlock));
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t c = 0; c < k_; ++c)
        error[static_cast<size_t>(r * k_ + c)] =
            m_.value(first + r, c) - w[static_cast<size_t>((first + r) * k_ + c)];
    multiply(rows_, k_, k_, error.data(), k_, h_, k_, gradient_.data(), k_, false);
    for (size_t i = 0; i < error.size(); ++i) error_ += double{error[i]} * gradient_[i];
  }

  // Gives the share of the error that this took away.
  double sweep() {
    const double before = error_;
    size_t t = 0;
    while (t < tiles_.all.size()) {
      const int64_t begin = tiles_.all[t].begin;
      std::fill(change_.begin(), change_.end(), 0.0f);
      int64_t end = begin;
      for (; t < tiles_.all.size(); ++t) {
        const Tile& tile = tiles_.all[t];
        if (tile.begin + tile.size - begin > kDescentBlock) break;
        end = tile.begin + tile.size;
        work(tile, begin);
        // What stands to the right in this block must hear of it before its turn.
        multiply(rows_, begin + kDescentBlock > k_ ? k_ - begin : kDescentBlock, tile.size,
                 change_.data() + (tile.begin - begin), kDescentBlock, h_ + tile.begin * k_ + begin,
                 k_, gradient_.data() + begin, k_, true);
      }
      spread(begin, end);
    }
    if (fit_) fit_scales();
    return before > 0 ? 1 - error_ / before : 0;
  }

 private:
  float gradient_at(int64_t r, int64_t c) const {
    return gradient_[static_cast<size_t>(r * k_ + c)];
  }

  // Tells all columns outside [begin, begin + kDescentBlock) of the changes inside [begin, end).
  void spread(int64_t begin, int64_t end) {
    const float* rows_of_h = h_ + begin * k_;
    multiply(rows_, begin, end - begin, change_.data(), kDescentBlock, rows_of_h, k_,
             gradient_.data(), k_, true);
    const int64_t behind = std::min(begin + kDescentBlock, k_);
    multiply(rows_, k_ - behind, end - begin, change_.data(), kDescentBlock, rows_of_h + behind, k_,
             gradient_.data() + behind, k_, true);
  }

  void work(const Tile& tile, int64_t block) {
    for (int64_t r = 0; r < rows_; r += kLanes) work(tile, block, r, std::min(kLanes, rows_ - r));
  }

  // One tile for up to kLanes rows: what should the levels be, if all others stay?
  void work(const Tile& tile, int64_t block, int64_t r, int64_t lanes) {
    const int64_t size = tile.size;
    TileColumns gradient{}, target;
    Attempt now;
    load(tile, r, lanes, gradient, now);
    // The best real values are t = q - H^-1 gradient; today's error above them gradient H^-1
    // gradient.
    now.error = Lanes{};
    ops_.combine(size, size, tile.inverse.data(), size, gradient[0].x, target[0].x);
    for (int64_t i = 0; i < size; ++i) {
      Lanes& t = target[static_cast<size_t>(i)];
      for (int64_t l = 0; l < kLanes; ++l) {
        now.error.x[l] += t.x[l] * gradient[static_cast<size_t>(i)].x[l];
        t.x[l] = now.level[static_cast<size_t>(i)].x[l] * now.scale.x[l] - t.x[l];
      }
    }
    Attempt best = now;
    try_grids(tile, target, now, best);
    store(tile, block, r, lanes, now, best);
  }

  void load(const Tile& tile, int64_t r, int64_t lanes, TileColumns& gradient, Attempt& now) {
    now.scale = now.low = now.high = Lanes{};
    for (int64_t l = 0; l < lanes; ++l) {
      const Grid& g = m_.grid(first_ + r + l, tile.group);
      now.scale.x[l] = g.scale;
      now.low.x[l] = g.low;
      now.high.x[l] = g.high;
    }
    for (int64_t i = 0; i < tile.size; ++i) {
      gradient[static_cast<size_t>(i)] = now.level[static_cast<size_t>(i)] = Lanes{};
      for (int64_t l = 0; l < lanes; ++l) {
        gradient[static_cast<size_t>(i)].x[l] = gradient_at(r + l, tile.begin + i);
        now.level[static_cast<size_t>(i)].x[l] =
            m_.levels(first_ + r + l)[static_cast<size_t>(tile.begin + i)];
      }
    }
  }

  void try_grids(const Tile& tile, const TileColumns& target, const Attempt& now, Attempt& best) {
    Attempt a;
    const bool shifts = search_ && m_.range().asymmetric;
    const size_t tries = search_ ? kScaleTries.size() : 1;
    for (size_t i = 0; i < tries; ++i) {
      for (int shift = shifts ? -1 : 0; shift <= (shifts ? 1 : 0); ++shift) {
        for (int64_t l = 0; l < kLanes; ++l) set_grid(now, l, kScaleTries[i], shift, a);
        round(tile, target, a);
        keep_better(tile.size, a, best);
      }
    }
    if (!search_) return;
    // Least squares: the scale that suits the best levels, which are then chosen again.
    for (int round_number = 0; round_number < 2; ++round_number) {
      refit(tile, target, best, a);
      round(tile, target, a);
      keep_better(tile.size, a, best);
    }
  }

  void set_grid(const Attempt& now, int64_t l, float factor, int shift, Attempt& a) const {
    a.scale.x[l] = factor == 1 ? now.scale.x[l]
                               : round_signed_scale(now.scale.x[l] * factor, m_.scale_dtype());
    const float last = static_cast<float>(m_.range().codes() - 1);
    const float move = m_.range().asymmetric ? std::clamp(static_cast<float>(shift), now.low.x[l],
                                                          last + now.low.x[l])
                                             : 0;
    a.low.x[l] = now.low.x[l] - move;
    a.high.x[l] = now.high.x[l] - move;
  }

  // Error feedback inside the tile.
  void round(const Tile& tile, const TileColumns& target, Attempt& a) const {
    TileColumns left;
    RoundTile t;
    t.size = tile.size;
    t.feedback = tile.feedback.a.data();
    t.weight = tile.feedback.d.data();
    t.target = target[0].x;
    t.scale = a.scale.x;
    t.low = a.low.x;
    t.high = a.high.x;
    t.values = m_.range().values.empty() ? nullptr : m_.range().values.data();
    t.error = a.error.x;
    t.level = a.level[0].x;
    t.left = left[0].x;
    ops_.round(t);
  }

  void keep_better(int64_t size, const Attempt& a, Attempt& best) const {
    Lanes better;
    bool any = false;
    for (int64_t l = 0; l < kLanes; ++l) {
      // A little better is not better: it may be nothing but rounding of the sums.
      const bool is = a.error.x[l] < best.error.x[l] * 0.9999f;
      better.x[l] = is ? 1 : 0;
      any |= is;
      if (!is) continue;
      best.error.x[l] = a.error.x[l];
      best.scale.x[l] = a.scale.x[l];
      best.low.x[l] = a.low.x[l];
      best.high.x[l] = a.high.x[l];
    }
    if (any) ops_.select(size, better.x, a.level[0].x, best.level[0].x);
  }

  // s = t H u / u H u.
  void refit(const Tile& tile, const TileColumns& target, const Attempt& best, Attempt& a) const {
    Lanes tu{}, uu{};
    TileColumns hu;
    ops_.combine(tile.size, tile.size, h_ + tile.begin * k_ + tile.begin, k_, best.level[0].x,
                 hu[0].x);
    for (size_t i = 0; i < static_cast<size_t>(tile.size); ++i) {
      for (int64_t l = 0; l < kLanes; ++l) {
        tu.x[l] += target[i].x[l] * hu[i].x[l];
        uu.x[l] += best.level[i].x[l] * hu[i].x[l];
      }
    }
    a.low = best.low;
    a.high = best.high;
    for (int64_t l = 0; l < kLanes; ++l) {
      const float s = uu.x[l] > 0 ? round_signed_scale(tu.x[l] / uu.x[l], m_.scale_dtype()) : 0;
      a.scale.x[l] = s != 0 && std::isfinite(s) ? s : best.scale.x[l];
    }
  }

  void store(const Tile& tile, int64_t block, int64_t r, int64_t lanes, const Attempt& now,
             const Attempt& best) {
    for (int64_t l = 0; l < lanes; ++l) {
      if (best.error.x[l] == now.error.x[l]) continue;
      error_ -= now.error.x[l] - best.error.x[l];
      if (search_)
        m_.grid(first_ + r + l, tile.group) = {best.scale.x[l], best.low.x[l], best.high.x[l]};
      for (int64_t i = 0; i < tile.size; ++i) {
        const auto c = static_cast<size_t>(i);
        const float before = now.level[c].x[l] * now.scale.x[l];
        const float after = best.level[c].x[l] * best.scale.x[l];
        m_.levels(first_ + r + l)[static_cast<size_t>(tile.begin + i)] =
            static_cast<int16_t>(best.level[c].x[l]);
        change_[static_cast<size_t>((r + l) * kDescentBlock + tile.begin - block + i)] =
            after - before;
      }
    }
  }

  // For groups that were worked on in pieces: q -> (1 + x) q lowers the error most for
  // x = -(q . gradient) / (q H q).
  void fit_scales() {
    const int64_t group = m_.group();
    std::vector<float> q(static_cast<size_t>(rows_ * group)), hq(q.size());
    for (int64_t begin = 0; begin < k_; begin += group) {
      const int64_t size = std::min(group, k_ - begin);
      for (int64_t r = 0; r < rows_; ++r)
        for (int64_t c = 0; c < size; ++c)
          q[static_cast<size_t>(r * group + c)] = m_.value(first_ + r, begin + c);
      multiply(rows_, size, size, q.data(), group, h_ + begin * k_ + begin, k_, hq.data(), group,
               false);
      bool changed = false;
      for (int64_t r = 0; r < rows_; ++r)
        changed |= fit_scale(begin, size, r, q.data() + r * group, hq.data() + r * group);
      if (!changed) continue;
      multiply(rows_, k_, size, q.data(), group, h_ + begin * k_, k_, gradient_.data(), k_, true);
    }
  }

  // Leaves the change of the row in q.
  bool fit_scale(int64_t begin, int64_t size, int64_t r, float* q, const float* hq) {
    double qg = 0, qhq = 0;
    for (int64_t c = 0; c < size; ++c) {
      qg += double{q[c]} * gradient_at(r, begin + c);
      qhq += double{q[c]} * hq[c];
    }
    Grid& g = m_.grid(first_ + r, begin / m_.group());
    const float s =
        qhq > 0 ? round_signed_scale(static_cast<float>(g.scale * (1 - qg / qhq)), m_.scale_dtype())
                : g.scale;
    const double x = g.scale == 0 ? 0 : double{s} / g.scale - 1;
    const bool better = s != 0 && std::isfinite(s) && 2 * x * qg + x * x * qhq < 0;
    for (int64_t c = 0; c < size; ++c) q[c] = better ? static_cast<float>(q[c] * x) : 0;
    if (better) error_ += 2 * x * qg + x * x * qhq;
    if (better) g.scale = s;
    return better;
  }

  const RoundingOps& ops_ = best_rounding_ops();
  GridMatrix& m_;
  const float* h_;
  const Tiles& tiles_;
  bool search_, fit_;
  int64_t first_, rows_, k_;
  double error_ = 0;             // of all its rows, as the tiles' changes add up
  std::vector<float> gradient_;  // [rows, k]: (q - w) H
  std::vector<float> change_;    // [rows, kDescentBlock]
};

}  // namespace

bool descend(GridMatrix& m, std::span<const float> w, const DampedHessian& hessian,
             const DescentOptions& options, int threads) {
  Tiles tiles;
  if (!make_tiles(hessian, m.group(), tiles)) return false;
  parallel_for(ceil_div(m.n(), kDescentSlab), threads, [&](int64_t s) {
    DescentSlab slab(m, w, hessian, tiles, options, s * kDescentSlab,
                     std::min(kDescentSlab, m.n() - s * kDescentSlab));
    for (int i = 0; i < options.sweeps; ++i) {
      if (slab.sweep() < options.least_gain) break;
    }
  });
  return true;
}

namespace {

// e H e^T summed over the rows of e [rows, k]: columns before a block count twice, since H is
// symmetric.
double slab_error(const std::vector<float>& e, int64_t rows, int64_t k, const float* h) {
  constexpr int64_t kProductColumns = 512;
  std::vector<float> g(static_cast<size_t>(rows * kProductColumns));
  const auto times = [&](int64_t begin, int64_t size, int64_t from, int64_t count) {
    multiply(rows, size, count, e.data() + from, k, h + from * k + begin, k, g.data(),
             kProductColumns, false);
    double sum = 0;
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t c = 0; c < size; ++c)
        sum += double{e[static_cast<size_t>(r * k + begin + c)]} *
               g[static_cast<size_t>(r * kProductColumns + c)];
    return sum;
  };
  double sum = 0;
  for (int64_t begin = 0; begin < k; begin += kProductColumns) {
    const int64_t size = std::min(kProductColumns, k - begin);
    sum += times(begin, size, begin, size);
    if (begin > 0) sum += 2 * times(begin, size, 0, begin);
  }
  return sum;
}

}  // namespace

double output_error(std::span<const float> w, std::span<const float> q, int64_t n, int64_t k,
                    std::span<const float> hessian, int threads) {
  std::vector<double> of_slab(static_cast<size_t>(ceil_div(n, kDescentSlab)));
  parallel_for(std::ssize(of_slab), threads, [&](int64_t s) {
    const int64_t rows = std::min(kDescentSlab, n - s * kDescentSlab), count = rows * k;
    std::vector<float> e(static_cast<size_t>(count));
    for (int64_t i = 0; i < count; ++i) {
      const auto at = static_cast<size_t>(s * kDescentSlab * k + i);
      e[static_cast<size_t>(i)] = w[at] - q[at];
    }
    of_slab[static_cast<size_t>(s)] = slab_error(e, rows, k, hessian.data());
  });
  return std::accumulate(of_slab.begin(), of_slab.end(), 0.0) / static_cast<double>(n);
}

}  // namespace nibble
