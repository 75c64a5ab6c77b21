// AutoRound (Cheng et al. 2023, "Optimize weight rounding via signed gradient descent"): an offset
// in [-1/2, 1/2] for every weight and a factor for every scale are learned by signed gradient
// descent, the gradient passing straight through the rounding. The loss is the layer's output error
// tr(dW H dW^T), which H alone gives exactly; docs/methods/autoround.md.
#include <algorithm>
#include <cmath>

#include "nibble/core/checked.h"
#include "nibble/core/finite.h"
#include "nibble/core/parallel.h"
#include "nibble/quant/dense.h"
#include "nibble/quant/grid_search.h"
#include "nibble/quant/method.h"
#include "nibble/quant/weight_error.h"

namespace nibble {
namespace {

constexpr int64_t kRoundingSlab = 64;
constexpr float kSmallestFactor = 0.7f, kLargestFactor = 1.2f;

float sign(float v) { return v > 0 ? 1.0f : (v < 0 ? -1.0f : 0.0f); }

// Some rows of a weight, trained together. Rows do not depend on each other.
class RoundingSlab {
 public:
  RoundingSlab(GridMatrix& m, std::span<const float> w, std::span<const float> h, int64_t first,
               int64_t rows, int steps)
      : m_(m), w_(w), h_(h.data()), first_(first), rows_(rows), k_(m.k()), steps_(steps) {
    const auto count = static_cast<size_t>(rows * k_);
    offset_.assign(count, 0);
    error_.resize(count);
    gradient_.resize(count);
    level_.resize(count);
    groups_ = m.groups();
    start_.resize(static_cast<size_t>(rows * groups_));
    factor_.assign(start_.size(), 1);
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t g = 0; g < groups_; ++g) start_[index(r, g)] = m.grid(first + r, g);
    now_ = start_;
    best_loss_.assign(static_cast<size_t>(rows), INFINITY);
  }

  void run() {
    for (int i = 0; i <= steps_; ++i) {
      forward();
      multiply(rows_, k_, k_, error_.data(), k_, h_, k_, gradient_.data(), k_, false);
      keep_best();
      // The step falls linearly to 0, as in the paper; over all steps an offset can cross its
      // range.
      const float rate = (1 - static_cast<float>(i) / static_cast<float>(steps_)) *
                         (2.0f / static_cast<float>(steps_));
      backward(rate);
    }
  }

 private:
  size_t index(int64_t r, int64_t g) const { return static_cast<size_t>(r * groups_ + g); }

  void forward() {
    for (int64_t r = 0; r < rows_; ++r) {
      for (int64_t g = 0; g < groups_; ++g) {
        Grid& grid = now_[index(r, g)];
        if (m_.grids_can_change())
          grid.scale = round_signed_scale(start_[index(r, g)].scale * factor_[index(r, g)],
                                          m_.scale_dtype());
        const int64_t end = std::min((g + 1) * m_.group(), k_);
        for (int64_t c = g * m_.group(); c < end; ++c) {
          const auto at = static_cast<size_t>(r * k_ + c);
          const float v = w_[static_cast<size_t>((first_ + r) * k_ + c)];
          const float u = nearest_level(v + offset_[at] * grid.scale, grid, m_.range());
          level_[at] = u;
          error_[at] = u * grid.scale - v;
        }
      }
    }
  }

  void keep_best() {
    for (int64_t r = 0; r < rows_; ++r) {
      double loss = 0;
      for (int64_t c = 0; c < k_; ++c)
        loss += double{error_[static_cast<size_t>(r * k_ + c)]} *
                gradient_[static_cast<size_t>(r * k_ + c)];
      double& best = best_loss_[static_cast<size_t>(r)];
      if (!(loss < best)) continue;
      best = loss;
      for (int64_t c = 0; c < k_; ++c)
        m_.levels(first_ + r)[static_cast<size_t>(c)] =
            static_cast<int16_t>(level_[static_cast<size_t>(r * k_ + c)]);
      for (int64_t g = 0; m_.grids_can_change() && g < groups_; ++g)
        m_.grid(first_ + r, g) = now_[index(r, g)];
    }
  }

  // d loss / d offset = gradient * scale where nothing is clipped; d loss / d factor = the sum over
  // the group of gradient * d q / d scale * scale, with d q / d scale = u - (v / s + offset) inside
  // the range and u where it is clipped.
  void backward(float rate) {
    for (int64_t r = 0; r < rows_; ++r) {
      for (int64_t g = 0; g < groups_; ++g) {
        const Grid& grid = now_[index(r, g)];
        if (grid.scale == 0) continue;
        float of_factor = 0;
        const int64_t end = std::min((g + 1) * m_.group(), k_);
        for (int64_t c = g * m_.group(); c < end; ++c) {
          const auto at = static_cast<size_t>(r * k_ + c);
          const float v = w_[static_cast<size_t>((first_ + r) * k_ + c)];
          const float inside = v / grid.scale + offset_[at], u = level_[at];
          const bool clipped = inside < grid.low - 0.5f || inside > grid.high + 0.5f;
          of_factor += gradient_[at] * grid.scale * (clipped ? u : u - v / grid.scale);
          if (!clipped)
            offset_[at] =
                std::clamp(offset_[at] - rate * sign(gradient_[at] * grid.scale), -0.5f, 0.5f);
        }
        float& factor = factor_[index(r, g)];
        factor =
            std::clamp(factor - 0.5f * rate * sign(of_factor), kSmallestFactor, kLargestFactor);
      }
    }
  }

  GridMatrix& m_;
  std::span<const float> w_;
  const float* h_;
  int64_t first_, rows_, k_, groups_ = 0;
  int steps_;
  std::vector<float> offset_, error_, gradient_, level_;  // [rows, k]
  std::vector<float> factor_;                             // [rows, groups]
  std::vector<Grid> start_, now_;
  std::vector<double> best_loss_;
};

WeightResult quantize_autoround(const WeightTask& task) {
  const std::vector<float> w = values_of(task);
  WeightResult out;
  if (task.input->rows == 0 || !all_finite(task.input->hessian)) {
    out.weight = better_rtn(task);
    out.fell_back = true;
    out.note =
        "the inputs seen in calibration, or their squares, are not finite: rounded to nearest "
        "instead";
    return out;
  }
  const int64_t n = task.weight.shape()[0], k = task.weight.shape()[1];
  GridMatrix m(storable_scheme(task.scheme, k), n, k, task.options.scale_dtype, "autoround");
  search_grids(m, w, usable_importance(*task.input, 0.01, out.note), task.threads);
  m.require_finite_scales(task.name);
  const int steps = std::max(task.options.steps, 1);
  std::vector<float> room;
  const std::span<const float> aim = m.aim(w, room);
  parallel_for(ceil_div(n, kRoundingSlab), task.threads, [&](int64_t s) {
    RoundingSlab(m, aim, task.input->hessian, s * kRoundingSlab,
                 std::min(kRoundingSlab, n - s * kRoundingSlab), steps)
        .run();
  });
  out.weight = m.pack();
  measure(task, w, out);
  return out;
}

}  // namespace

Method autoround_method(std::string_view name, std::string_view summary) {
  return {name, summary, Calibration::hessian, quantize_autoround};
}

}  // namespace nibble
