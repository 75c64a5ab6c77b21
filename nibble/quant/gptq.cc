// GPTQ (Frantar, Ashkboos, Hoefler, Alistarh 2022) with scales searched by importance, followed by
// block coordinate descent on the same error; docs/methods/gptq.md. With an output metric in the
// task that is where yaqa starts from (docs/methods/yaqa.md).
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "nibble/core/finite.h"
#include "nibble/quant/dense.h"
#include "nibble/quant/grid_search.h"
#include "nibble/quant/method.h"
#include "nibble/quant/second_order.h"
#include "nibble/quant/two_sided.h"
#include "nibble/quant/weight_error.h"

namespace nibble {
namespace {

constexpr double kLargestDamping = 10;  // beyond that H says next to nothing
// What a channel that was hardly ever active counts as at least, as a share of the mean channel.
constexpr double kLeastPower = 1e-3;
// Of G; 0.03 to 0.3 are alike.
constexpr double kMetricDamping = 0.1;

// Where sweeps take long, those that gain next to nothing are left out.
double least_gain(int64_t k) { return k >= kWideGram ? 0.01 : 0; }

DampedHessian damped(const InputStatistics& input, double damping) {
  DampedHessian out{input.k, input.hessian};
  const auto entry = [&](int64_t i) -> float& {
    return out.h[static_cast<size_t>(i * input.k + i)];
  };
  double mean = 0;
  for (int64_t i = 0; i < input.k; ++i) mean += double{entry(i)} / static_cast<double>(input.k);
  for (int64_t i = 0; i < input.k; ++i)
    entry(i) += static_cast<float>(damping * std::max(double{entry(i)}, kLeastPower * mean));
  return out;
}

std::vector<float> diagonal(const DampedHessian& h) {
  std::vector<float> out;
  for (int64_t i = 0; i < h.k; ++i) out.push_back(h.h[static_cast<size_t>(i * h.k + i)]);
  return out;
}

WeightResult fall_back(const WeightTask& task, std::span<const float> w, std::string why) {
  WeightResult out;
  out.weight = better_rtn(task);
  out.fell_back = true;
  out.note = std::move(why) + ": rounded to nearest instead";
  if (all_finite(task.input->hessian)) measure(task, w, out);
  return out;
}

// Why the output metric says nothing, or nothing where it does.
std::string useless(const OutputMetric& metric) {
  double trace = 0;
  bool finite = true;
  for (size_t b = 0; b < metric.blocks.size(); ++b) {
    finite = finite && all_finite(metric.blocks[b]);
    const auto n = static_cast<size_t>(metric.starts[b + 1] - metric.starts[b]);
    for (size_t i = 0; i < n; ++i) trace += metric.blocks[b][i * n + i];
  }
  if (!finite) return "the gradients of its outputs are not finite: rounded as gptq does";
  if (!(trace > 0)) return "the gradients of its outputs are all 0: rounded as gptq does";
  return "";
}

// Levels that the whole model minds least, on the grids that `m` has. Where a few rows of
// calibration leave H or G (almost) singular, feedback from both sides can lead out of the grids:
// then `m` stays as it is.
void refine(const WeightTask& task, std::span<const float> w, std::span<const float> aim,
            const DampedHessian& h, GridMatrix& m) {
  const OutputMetric metric = damped(*task.output, kMetricDamping);
  GridMatrix both = m;
  if (!round_two_sided(both, aim, h, metric, task.options.act_order, task.threads)) return;
  descend_two_sided(both, aim, h, metric, task.options.sweeps, least_gain(h.k), task.threads);
  const auto error = [&](const GridMatrix& of) {
    return output_error(w, of.values(), h.k, task.input->hessian, *task.output, task.threads);
  };
  if (error(both) < error(m)) m = std::move(both);
}

// One try with one damping; false where H is still not positive definite.
bool solve(const WeightTask& task, std::span<const float> w, const DampedHessian& h,
           GridMatrix& m) {
  search_grids(m, w, diagonal(h), task.threads);
  m.require_finite_scales(task.name);
  std::vector<float> room;
  const std::span<const float> aim = m.aim(w, room);
  if (!round_with_feedback(m, aim, h, task.options.act_order, task.threads) ||
      !descend(m, aim, h, {task.options.sweeps, least_gain(h.k), true}, task.threads))
    return false;
  if (task.output != nullptr) refine(task, w, aim, h, m);
  return true;
}

WeightResult without_metric(const WeightTask& task, const std::string& why) {
  WeightResult out = quantize_second_order(
      {task.weight, task.scheme, task.options, task.name, task.input, task.threads, nullptr});
  out.note = why + (why.empty() || out.note.empty() ? "" : "; ") + out.note;
  return out;
}

}  // namespace

WeightResult quantize_second_order(const WeightTask& task) {
  // One grid for the whole weight leaves nothing to be chosen by G.
  if (task.output != nullptr && task.scheme.granularity == Granularity::tensor)
    return without_metric(task, "");
  if (task.output != nullptr) {
    const std::string why = useless(*task.output);
    if (!why.empty()) return without_metric(task, why);
  }
  const std::vector<float> w = values_of(task);
  const InputStatistics& input = *task.input;
  const int64_t n = task.weight.shape()[0], k = task.weight.shape()[1];
  if (!input.is_known() || !all_finite(input.hessian))
    return fall_back(task, w, "the inputs seen in calibration, or their squares, are not finite");
  const std::string_view name = task.output == nullptr ? "gptq" : "yaqa";
  GridMatrix m(storable_scheme(task.scheme, k), n, k, task.options.scale_dtype, name);
  WeightResult out;
  for (double damping = task.options.damping;; damping = std::max(damping * 10, 1e-4)) {
    if (!(damping <= kLargestDamping))  // nan too
      return fall_back(task, w, "the inputs' Hessian is not positive definite at any damping");
    out.damping = damping;
    if (solve(task, w, damped(input, damping), m)) break;
  }
  if (out.damping != task.options.damping)
    out.note = fmt::format("the inputs' Hessian needed a damping of {:.4g}", out.damping);
  out.weight = m.pack();
  measure(task, w, out);
  if (!(out.error <= out.rtn_error))
    return fall_back(task, w, fmt::format("{} was not better on the calibration rows", name));
  return out;
}

Method gptq_method(std::string_view name, std::string_view summary) {
  return {name, summary, Calibration::hessian, quantize_second_order, true};
}

}  // namespace nibble
