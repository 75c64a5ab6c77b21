#include "nibble/quant/rescale.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "nibble/core/error.h"
#include "nibble/quant/dense.h"
#include "nibble/quant/rtn.h"
#include "nibble/quant/second_order.h"
#include "nibble/quant/static_activations.h"

namespace nibble {

#define NIBBLE_RESCALER(name, quantizer, summary) SiteScales name##_scales(const SiteTask&);
#include "nibble/quant/rescalers.inc"
#undef NIBBLE_RESCALER

namespace {

// Outputs that errors are computed on, spread over all of them.
constexpr int64_t kOutputs = 512;
constexpr float kSmallest = 1e-4F;

bool rounds_activations(const SiteTask& task) {
  return std::any_of(task.readers.begin(), task.readers.end(), [](const SiteReader& r) {
    return r.scheme.activations != ActivationType::none;
  });
}

// Some rows of a weight and what is left of them when they are scaled, rounded and scaled back.
struct Trial {
  int64_t n = 0;
  std::vector<float> w, q;
};

Trial try_weight(const SiteTask& task, const SiteReader& reader, std::span<const float> scales) {
  const auto k = static_cast<size_t>(task.input.k);
  const int64_t step = std::max<int64_t>(1, reader.n / kOutputs);
  Trial out;
  for (int64_t r = 0; r < reader.n; r += step, ++out.n) {
    const auto row = reader.w.subspan(static_cast<size_t>(r) * k, k);
    out.w.insert(out.w.end(), row.begin(), row.end());
  }
  Tensor scaled(DType::f32, Shape{out.n, task.input.k});
  const auto to = scaled.mutable_data<float>();
  for (size_t i = 0; i < to.size(); ++i) to[i] = out.w[i] * scales[i % k];
  const Tensor back =
      dequantize(quantize_rtn(scaled, reader.scheme, {task.scale_dtype}, reader.name));
  const auto from = back.data<float>();
  for (size_t i = 0; i < from.size(); ++i) out.q.push_back(from[i] / scales[i % k]);
  return out;
}

// ||x w^T - x' q^T||^2 over the sample.
double product_error(int64_t m, int64_t k, const Trial& t, std::span<const float> x,
                     std::span<const float> rounded) {
  std::vector<float> columns(t.w.size()), y(static_cast<size_t>(m * t.n));
  const auto turn = [&](const std::vector<float>& w, float sign) {
    for (int64_t r = 0; r < t.n; ++r) {
      for (int64_t i = 0; i < k; ++i)
        columns[static_cast<size_t>(i * t.n + r)] = sign * w[static_cast<size_t>(r * k + i)];
    }
  };
  turn(t.w, 1);
  multiply(m, t.n, k, x.data(), k, columns.data(), t.n, y.data(), t.n, false);
  turn(t.q, -1);
  multiply(m, t.n, k, rounded.data(), k, columns.data(), t.n, y.data(), t.n, true);
  double sum = 0;
  for (const float v : y) sum += double{v} * v;
  return sum / static_cast<double>(m);
}

// The sample as a runtime with this scheme sees it: scaled, rounded, scaled back.
std::vector<float> rounded_sample(const SiteTask& task, const QuantScheme& scheme,
                                  std::span<const float> scales) {
  const auto k = static_cast<size_t>(task.input.k);
  std::vector<float> x(task.sample.begin(), task.sample.end());
  for (size_t i = 0; i < x.size(); ++i) x[i] /= scales[i % k];
  float largest = 0;
  for (size_t i = 0; i < k; ++i) largest = std::max(largest, task.input.absmax[i] / scales[i]);
  round_activations(scheme, largest / 127, kOutlierThreshold, task.input.k, x);
  for (size_t i = 0; i < x.size(); ++i) x[i] *= scales[i % k];
  return x;
}

void normalize(std::vector<float>& s) {
  float low = s[0], high = s[0];
  for (float& v : s) {
    v = std::isfinite(v) ? std::max(v, kSmallest) : 1.0F;
    low = std::min(low, v);
    high = std::max(high, v);
  }
  const float middle = std::sqrt(low) * std::sqrt(high);
  for (float& v : s) v = std::clamp(v / middle, kSmallest, 1 / kSmallest);
}

}  // namespace

std::span<const Rescaler> rescalers() {
  static const Rescaler kRescalers[] = {
#define NIBBLE_RESCALER(name, quantizer, summary) {#name, summary, #quantizer, name##_scales},
#include "nibble/quant/rescalers.inc"
#undef NIBBLE_RESCALER
  };
  return kRescalers;
}

const Rescaler* find_rescaler(std::string_view name) {
  for (const Rescaler& r : rescalers()) {
    if (r.name == name) return &r;
  }
  return nullptr;
}

double site_error(const SiteTask& task, std::span<const float> scales) {
  const int64_t k = task.input.k, m = static_cast<int64_t>(task.sample.size()) / k;
  const bool on_sample = rounds_activations(task) || task.input.hessian.empty();
  double sum = 0;
  for (const SiteReader& reader : task.readers) {
    const Trial t = try_weight(task, reader, scales);
    sum += on_sample
               ? product_error(m, k, t, task.sample, rounded_sample(task, reader.scheme, scales))
               : output_error(t.w, t.q, t.n, k, task.input.hessian, task.threads) *
                     static_cast<double>(t.n);
  }
  return sum;
}

namespace {

// Scales that make weights or their scales too large for their types are no choice; without scales
// that is an error of the weight itself.
double error_with(const SiteTask& task, std::span<const float> scales) {
  try {
    return site_error(task, scales);
  } catch (const Error& e) {
    if (e.kind() != ErrorKind::corrupt) throw;
    return std::numeric_limits<double>::infinity();
  }
}

}  // namespace

SiteScales best_scales(const SiteTask& task, std::span<const std::vector<float>> candidates,
                       std::span<const double> exponents) {
  NIBBLE_CHECK(candidates.size() == exponents.size());
  SiteScales best;
  best.scales.assign(static_cast<size_t>(task.input.k), 1.0F);
  best.plain_error = best.error = site_error(task, best.scales);
  for (size_t i = 0; i < candidates.size(); ++i) {
    std::vector<float> s = candidates[i];
    normalize(s);
    if (task.tie) task.tie(s);
    const double error = error_with(task, s);
    if (!(error < best.error)) continue;
    best.error = error;
    best.exponent = exponents[i];
    best.scales = std::move(s);
  }
  return best;
}

std::vector<float> column_absmax(const SiteTask& task) {
  const auto k = static_cast<size_t>(task.input.k);
  std::vector<float> out(k);
  for (const SiteReader& r : task.readers) {
    for (size_t i = 0; i < r.w.size(); ++i) out[i % k] = std::max(out[i % k], std::fabs(r.w[i]));
  }
  return out;
}

std::vector<float> column_mean_share(const SiteTask& task) {
  const auto k = static_cast<size_t>(task.input.k);
  std::vector<double> sum(k);
  double rows = 0;
  for (const SiteReader& r : task.readers) {
    const auto group = static_cast<size_t>(r.scheme.group_size(task.input.k));
    rows += static_cast<double>(r.n);
    for (size_t begin = 0; begin < r.w.size();) {
      const size_t end = std::min(begin + std::min(group, k - begin % k), r.w.size());
      float largest = 1e-12F;
      for (size_t i = begin; i < end; ++i) largest = std::max(largest, std::fabs(r.w[i]));
      for (size_t i = begin; i < end; ++i) sum[i % k] += std::fabs(r.w[i]) / largest;
      begin = end;
    }
  }
  std::vector<float> out;
  out.reserve(sum.size());
  for (const double v : sum) out.push_back(static_cast<float>(v / std::max(rows, 1.0)));
  return out;
}

}  // namespace nibble
