#include "nibble/quant/block_scales.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "nibble/core/checked.h"
#include "nibble/core/error.h"
#include "nibble/core/float_formats.h"
#include "nibble/core/parallel.h"
#include "nibble/quant/group_fit.h"
#include "nibble/quant/number.h"
#include "nibble/quant/scale.h"

namespace nibble {
namespace {

constexpr int kTurns = 3;  // of bytes and super scales

float rounded_to_half(double x) { return f16_to_f32(f32_to_f16(static_cast<float>(x))); }

// One block of kSuperBlock inputs of a row, its groups side by side.
class SuperBlock {
 public:
  SuperBlock(GridMatrix& m, std::span<const float> x, std::span<const float> h, int64_t row,
             int64_t block)
      : range_(m.range()),
        bytes_(number(m.scheme()).scale_bytes),
        two_(m.two_levels()),
        size_(m.group()),
        groups_(kSuperBlock / m.group()),
        first_(row * m.groups() + block * groups_),
        block_(row * (m.groups() / groups_) + block),
        x_(x),
        h_(h) {}

  void run() {
    for (int64_t g = 0; g < groups_; ++g) wanted_[at(g)] = fit_group(range_, group(g));
    begin();
    double error = choose_bytes();
    for (int i = 0; i < kTurns; ++i) {
      const SuperBlock before = *this;
      refit();
      const double now = choose_bytes();
      if (now < error) {
        error = now;
        continue;
      }
      scale_ = before.scale_, offset_ = before.offset_, a_ = before.a_, b_ = before.b_;
      break;
    }
    store();
  }

 private:
  static size_t at(int64_t g) { return static_cast<size_t>(g); }
  WeighedGroup group(int64_t g) const {
    const auto begin = static_cast<size_t>(g * size_), size = static_cast<size_t>(size_);
    return {x_.subspan(begin, size), h_.subspan(begin, size)};
  }
  Grid grid(int a, int b) const {
    Grid g;
    g.low = static_cast<float>(range_.low);
    g.high = static_cast<float>(range_.high);
    g.scale = scale_ * static_cast<float>(a);
    g.offset = offset_ * static_cast<float>(b);
    return g;
  }

  // The largest scale is the last byte: the one further from 0 where they have a sign.
  void begin() {
    float most = 0, least_offset = 0;
    for (int64_t g = 0; g < groups_; ++g) {
      if (std::fabs(wanted_[at(g)].scale) > std::fabs(most)) most = wanted_[at(g)].scale;
      least_offset = std::min(least_offset, wanted_[at(g)].offset);
    }
    const int end = -bytes_.low > bytes_.high ? bytes_.low : bytes_.high;
    scale_ = rounded_to_half(most / static_cast<float>(end));
    offset_ = rounded_to_half(least_offset / static_cast<float>(bytes_.high));
  }

  int nearest_byte(float value, float unit, int low) const {
    if (unit == 0) return 0;
    return static_cast<int>(std::clamp(std::nearbyint(value / unit), static_cast<float>(low),
                                       static_cast<float>(bytes_.high)));
  }

  // Of each group the bytes that leave the least error: those next to what it wants, and their
  // neighbours.
  double choose_bytes() {
    double sum = 0;
    for (int64_t g = 0; g < groups_; ++g) {
      a_[at(g)] = nearest_byte(wanted_[at(g)].scale, scale_, bytes_.low);
      b_[at(g)] = nearest_byte(wanted_[at(g)].offset, offset_, 0);
      sum += choose_bytes(g);
    }
    return sum;
  }

  double choose_bytes(int64_t g) {
    const int a = a_[at(g)], b = b_[at(g)], reach = range_.offsets ? 1 : 0;
    double best = INFINITY;
    for (int da = -1; da <= 1; ++da) {
      for (int db = -reach; db <= reach; ++db) {
        const int ta = a + da, tb = b + db;
        if (ta < bytes_.low || ta > bytes_.high || tb < 0 || tb > bytes_.high) continue;
        const double error = error_on(range_, group(g), grid(ta, tb));
        if (!(error < best)) continue;
        best = error;
        a_[at(g)] = ta;
        b_[at(g)] = tb;
      }
    }
    return best;
  }

  // Least squares for x = scale a u + offset b over the whole block.
  void refit() {
    double ss = 0, so = 0, oo = 0, sx = 0, ox = 0;
    for (int64_t g = 0; g < groups_; ++g) {
      const WeighedGroup of = group(g);
      const Grid now = grid(a_[at(g)], b_[at(g)]);
      for (size_t i = 0; i < of.x.size(); ++i) {
        const double u = double{nearest_level(of.x[i] - now.offset, now, range_)} * a_[at(g)];
        const double b = b_[at(g)], h = of.h[i], x = of.x[i];
        ss += h * u * u;
        so += h * u * b;
        oo += h * b * b;
        sx += h * u * x;
        ox += h * b * x;
      }
    }
    const double d = ss * oo - so * so;
    if (range_.offsets && d > 1e-12 * ss * oo) {
      const float offset = rounded_to_half((ss * ox - so * sx) / d);
      if (offset <= 0) {
        scale_ = rounded_to_half((oo * sx - so * ox) / d);
        offset_ = offset;
        return;
      }
    }
    if (ss > 0) scale_ = rounded_to_half((sx - so * double{offset_}) / ss);
  }

  void store() {
    two_.super_scale[static_cast<size_t>(block_)] = scale_;
    if (range_.offsets) two_.super_offset[static_cast<size_t>(block_)] = offset_;
    for (int64_t g = 0; g < groups_; ++g) {
      const auto to = static_cast<size_t>(first_ + g);
      two_.scale[to] = static_cast<int8_t>(a_[at(g)]);
      if (range_.offsets) two_.offset[to] = static_cast<int8_t>(b_[at(g)]);
    }
  }

  static constexpr size_t kMostGroups = 16;
  const LevelRange& range_;
  ByteRange bytes_;
  TwoLevels& two_;
  int64_t size_, groups_, first_, block_;
  std::span<const float> x_, h_;
  std::array<Grid, kMostGroups> wanted_{};
  std::array<int, kMostGroups> a_{}, b_{};
  float scale_ = 0, offset_ = 0;
};

// What the weights of a row count without calibration.
void by_magnitude(std::span<const float> x, size_t block, std::vector<float>& h) {
  for (size_t begin = 0; begin < x.size(); begin += block) {
    const auto part = x.subspan(begin, std::min(block, x.size() - begin));
    double squares = 0;
    for (const float v : part) squares += double{v} * v;
    const auto mean = static_cast<float>(std::sqrt(squares / static_cast<double>(part.size())));
    for (size_t i = 0; i < part.size(); ++i) h[begin + i] = mean + std::fabs(part[i]);
  }
}

class RowSettler {
 public:
  explicit RowSettler(GridMatrix& m)
      : m_(m), two_levels_(number(m.scheme()).scales->super == SuperScale::inputs) {
    if (!two_levels_) return;
    TwoLevels& two = m.two_levels();
    const auto groups = static_cast<size_t>(m.n() * m.groups()),
               blocks = static_cast<size_t>(m.n() * (m.k() / kSuperBlock));
    two.scale.resize(groups);
    two.super_scale.resize(blocks);
    if (!m.range().offsets) return;
    two.offset.resize(groups);
    two.super_offset.resize(blocks);
  }

  void row(int64_t r, std::span<const float> x, std::span<const float> h) {
    if (two_levels_) {
      for (int64_t b = 0; b < m_.k() / kSuperBlock; ++b) {
        const auto begin = static_cast<size_t>(b * kSuperBlock);
        SuperBlock(m_, x.subspan(begin, kSuperBlock), h.subspan(begin, kSuperBlock), r, b).run();
      }
    }
    const auto size = static_cast<size_t>(m_.group());
    for (int64_t g = 0; g < m_.groups(); ++g) {
      const auto begin = static_cast<size_t>(g) * size;
      Grid& grid = m_.grid(r, g);
      grid = two_levels_
                 ? from_bytes(r, g)
                 : stored(fit_group(m_.range(), {x.subspan(begin, size), h.subspan(begin, size)}));
      for (size_t i = begin; i < begin + size; ++i)
        m_.levels(r)[i] = static_cast<int16_t>(nearest_level(x[i] - grid.offset, grid, m_.range()));
    }
  }

 private:
  Grid from_bytes(int64_t r, int64_t g) const {
    const TwoLevels& two = m_.two_levels();
    const auto i = static_cast<size_t>(r * m_.groups() + g);
    const auto b = static_cast<size_t>(r * (m_.k() / kSuperBlock) + g * m_.group() / kSuperBlock);
    Grid out{two.super_scale[b] * static_cast<float>(two.scale[i]),
             static_cast<float>(m_.range().low), static_cast<float>(m_.range().high)};
    if (m_.range().offsets) out.offset = two.super_offset[b] * static_cast<float>(two.offset[i]);
    return out;
  }

  Grid stored(Grid g) const {
    g.scale = round_signed_scale(g.scale, m_.scale_dtype());
    g.offset = round_signed_scale(g.offset, m_.scale_dtype());
    return g;
  }

  GridMatrix& m_;
  bool two_levels_;
};

}  // namespace

void settle_blocks(GridMatrix& m, std::span<const float> w, std::span<const float> importance,
                   int threads) {
  const auto k = static_cast<size_t>(m.k());
  NIBBLE_CHECK(w.size() == static_cast<size_t>(m.n()) * k && m.k() % m.group() == 0);
  RowSettler settler(m);
  const bool two_levels = !m.two_levels().scale.empty();
  const size_t block = static_cast<size_t>(two_levels ? kSuperBlock : m.group());
  parallel_for(m.n(), threads, [&](int64_t r) {
    const auto row = w.subspan(static_cast<size_t>(r) * k, k);
    if (!importance.empty()) return settler.row(r, row, importance);
    std::vector<float> h(k);
    by_magnitude(row, block, h);
    settler.row(r, row, h);
  });
}

}  // namespace nibble
