// HQQ: half-quadratic quantization (Badri and Shaji 2023): the zero point that minimizes an l_p
// norm, p < 1, of the weights' error, which cares less for outliers; no calibration. Here the scale
// as well, since zero points are whole numbers; docs/methods/hqq.md.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "nibble/core/checked.h"
#include "nibble/core/parallel.h"
#include "nibble/quant/grid.h"
#include "nibble/quant/method.h"
#include "nibble/quant/scale.h"

namespace nibble {
namespace {

constexpr float kNorm = 0.7f, kGrowth = 1.01f;
constexpr int kFewestSteps = 20;

// The e that minimizes |e|^p + beta / 2 (e - d)^2, nearly: generalized soft thresholding.
float shrink(float d, float beta) {
  const float a = std::fabs(d);
  if (a == 0) return 0;
  const float left = a - std::pow(a, kNorm - 1) * kNorm / beta;
  return left > 0 ? std::copysign(left, d) : 0;
}

// One group: alternates between the error e that the norm asks for and the best zero point (where
// there is one) or scale for w - e. Lengths are in units of the group's range, so that
// beta means the same for all.
class Group {
 public:
  Group(const LevelRange& range, std::span<const float> x, DType dtype)
      : range_(range), x_(x), dtype_(dtype) {}

  Grid run(int steps) {
    float low = 0, high = 0;
    for (const float v : x_) {
      low = std::min(low, v);
      high = std::max(high, v);
    }
    const float divisor = static_cast<float>(range_.high - range_.low) / 2;
    best_ = grid_of_range(range_, low, high, divisor, dtype_);
    unit_ = high - low;
    if (best_.scale == 0 || !std::isfinite(best_.scale)) return best_;
    cost_ = cost(best_);
    Grid now = best_;
    float beta = 10;
    for (int i = 0; i < steps; ++i, beta *= kGrowth) {
      now = step(now, beta, range_.asymmetric && i % 2 == 0);
      const double c = cost(now);
      if (!(c < cost_)) continue;
      cost_ = c;
      best_ = now;
    }
    return best_;
  }

 private:
  double cost(const Grid& g) const {
    double sum = 0;
    for (const float v : x_)
      sum += std::pow(std::fabs(v - nearest_level(v, g.scale, g.low, g.high) * g.scale) / unit_,
                      kNorm);
    return sum;
  }

  Grid step(Grid g, float beta, bool move_zero) const {
    float moved = 0, xu = 0, uu = 0;
    for (const float v : x_) {
      const float u = nearest_level(v, g.scale, g.low, g.high), d = (v - u * g.scale) / unit_;
      const float wanted = v - shrink(d, beta) * unit_;
      moved += u - wanted / g.scale;
      xu += wanted * u;
      uu += u * u;
    }
    if (!move_zero) {
      const float s = uu > 0 ? round_scale(std::fabs(xu / uu), dtype_) : 0;
      if (s > 0 && std::isfinite(s)) g.scale = s;
      return g;
    }
    // The zero point is stored as a whole number: it moves when the mean says so.
    const float last = static_cast<float>(range_.codes() - 1);
    const float zero =
        std::clamp(std::nearbyint(-g.low + moved / static_cast<float>(x_.size())), 0.0f, last);
    return {g.scale, -zero, last - zero};
  }

  const LevelRange& range_;
  std::span<const float> x_;
  DType dtype_;
  Grid best_;
  double cost_ = 0;
  float unit_ = 1;
};

WeightResult quantize_hqq(const WeightTask& task) {
  const std::vector<float> w = values_of(task);
  const int64_t n = task.weight.shape()[0], k = task.weight.shape()[1];
  GridMatrix m(storable_scheme(task.scheme, k), n, k, task.options.scale_dtype, "hqq");
  if (m.range().blocks)
    throw unsupported(
        fmt::format("hqq cannot make {}; gptq, imatrix and rtn can", to_string(task.scheme)))
        .at("scheme");
  const int steps = std::max(kFewestSteps, task.options.steps / 10);
  if (m.shared()) m.grid(0, 0) = Group(m.range(), w, m.scale_dtype()).run(steps);
  parallel_for(n, task.threads, [&](int64_t r) {
    for (int64_t at = 0; at < k; at += m.group()) {
      const std::span<const float> x(w.data() + r * k + at,
                                     static_cast<size_t>(std::min(m.group(), k - at)));
      Grid& g = m.grid(r, at / m.group());
      if (!m.shared()) g = Group(m.range(), x, m.scale_dtype()).run(steps);
      for (size_t i = 0; i < x.size(); ++i)
        m.levels(r)[static_cast<size_t>(at) + i] =
            static_cast<int16_t>(nearest_level(x[i], g.scale, g.low, g.high));
    }
  });
  m.require_finite_scales(task.name);
  WeightResult out;
  out.weight = m.pack();
  return out;
}

}  // namespace

Method hqq_method(std::string_view name, std::string_view summary) {
  return {name, summary, Calibration::nothing, quantize_hqq};
}

}  // namespace nibble
