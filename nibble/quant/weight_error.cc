#include "nibble/quant/weight_error.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "nibble/core/error.h"
#include "nibble/core/float_formats.h"
#include "nibble/quant/second_order.h"
#include "nibble/quant/two_sided.h"

namespace nibble {
namespace {

std::span<const float> hessian_of(const WeightTask& task) {
  return task.input == nullptr ? std::span<const float>() : task.input->hessian;
}

double diagonal_error(const WeightTask& task, std::span<const float> w, std::span<const float> q) {
  const auto k = static_cast<size_t>(task.weight.shape()[1]);
  const bool weighted = task.input != nullptr && task.input->mean_square.size() == k;
  double sum = 0;
  for (size_t i = 0; i < w.size(); ++i) {
    const double e = double{w[i]} - q[i];
    sum += e * e * (weighted ? task.input->mean_square[i % k] : 1.0);
  }
  return sum / static_cast<double>(task.weight.shape()[0]);
}

}  // namespace

double error_of(const WeightTask& task, std::span<const float> w, const QuantizedTensor& q) {
  const Tensor values = dequantize(q, task.threads);
  const auto h = hessian_of(task);
  if (h.empty()) return diagonal_error(task, w, values.data<float>());
  if (task.output != nullptr)
    return output_error(w, values.data<float>(), q.k(), h, *task.output, task.threads);
  return output_error(w, values.data<float>(), q.n(), q.k(), h, task.threads);
}

std::vector<float> values_of(const WeightTask& task) {
  const Shape& shape = task.weight.shape();
  if (shape.rank() != 2 || task.weight.elements() == 0) {
    throw invalid_argument(fmt::format("shape {} cannot be quantized: expected [n, k] with at "
                                       "least one row and one column",
                                       shape.to_string()))
        .at("tensor " + in_quotes(task.name));
  }
  refuse_nonfinite(task.weight, task.name);
  std::vector<float> out(static_cast<size_t>(task.weight.elements()));
  to_f32(task.weight, out);
  return out;
}

namespace {

struct Rounded {
  QuantizedTensor weight;
  double error = 0;
};

Rounded best_rounded(const WeightTask& task) {
  const std::vector<float> w = values_of(task);
  const auto with = [&](bool half_step) {
    Rounded r{quantize_rtn(task.weight, task.scheme,
                           {task.options.scale_dtype, half_step, 0, task.threads}, task.name),
              0};
    r.error = error_of(task, w, r.weight);
    return r;
  };
  Rounded plain = with(false);
  if (task.scheme.asymmetric || !task.scheme.is_integer()) return plain;
  Rounded half = with(true);
  return half.error < plain.error ? std::move(half) : std::move(plain);
}

}  // namespace

QuantizedTensor better_rtn(const WeightTask& task) { return best_rounded(task).weight; }

void measure(const WeightTask& task, std::span<const float> w, WeightResult& out) {
  out.error = error_of(task, w, out.weight);
  out.rtn_error = best_rounded(task).error;
}

std::vector<float> usable_importance(const InputStatistics& input, double floor,
                                     std::string& note) {
  double sum = 0;
  bool usable = static_cast<int64_t>(input.mean_square.size()) == input.k && input.k > 0;
  for (const double v : input.mean_square) {
    usable = usable && std::isfinite(v) && v >= 0;
    sum += v;
  }
  if (!usable || !(sum > 0)) {
    note = "the inputs' importance is not usable: all columns count alike";
    return std::vector<float>(static_cast<size_t>(input.k), 1.0f);
  }
  // In units of the mean, so that tiny activations do not underflow.
  const double mean = sum / static_cast<double>(input.k);
  std::vector<float> out;
  for (const double v : input.mean_square)
    out.push_back(static_cast<float>(std::max(v / mean, floor)));
  return out;
}

}  // namespace nibble
