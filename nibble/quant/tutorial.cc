#include "nibble/quant/tutorial.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "nibble/core/error.h"
#include "nibble/core/float_formats.h"

namespace nibble::tutorial {
namespace {

struct Range {
  float low = std::numeric_limits<float>::infinity();
  float high = -std::numeric_limits<float>::infinity();
};

Quantized start(const Tensor& x, int bits) {
  if (x.dtype() != DType::f32 || bits < 2 || bits > 8) {
    throw invalid_argument(fmt::format("expected an f32 tensor and 2 to 8 bits, found {} and {}",
                                       to_string(x.dtype()), bits));
  }
  refuse_nonfinite(x, "x");
  Quantized q;
  q.shape = x.shape();
  q.bits = bits;
  q.codes.resize(static_cast<size_t>(x.elements()));
  q.inner = std::max<int64_t>(x.elements(), 1);
  return q;
}

Quantized along_axis(Quantized q, size_t axis) {
  if (axis >= q.shape.rank()) {
    throw invalid_argument(
        fmt::format("axis {} does not exist in shape {}", axis, q.shape.to_string()));
  }
  q.extent = std::max<int64_t>(q.shape[axis], 1);
  q.inner = 1;
  for (size_t i = axis + 1; i < q.shape.rank(); ++i) q.inner *= std::max<int64_t>(q.shape[i], 1);
  return q;
}

Quantized in_groups(Quantized q, int64_t group) {
  const int64_t last = q.shape.rank() == 0 ? 1 : q.shape[q.shape.rank() - 1];
  if (group < 1 || last % group != 0) {
    throw invalid_argument(
        fmt::format("groups of {} do not divide the last extent of shape {}; use a divisor of {}",
                    group, q.shape.to_string(), last));
  }
  q.extent = static_cast<int64_t>(q.codes.size()) / group;
  q.inner = group;
  return q;
}

size_t scale_of(const Quantized& q, size_t element) {
  return element / static_cast<size_t>(q.inner) % static_cast<size_t>(q.extent);
}

std::vector<Range> ranges(const Quantized& q, std::span<const float> x) {
  std::vector<Range> out(static_cast<size_t>(q.extent));
  for (size_t i = 0; i < x.size(); ++i) {
    Range& r = out[scale_of(q, i)];
    r.low = std::min(r.low, x[i]);
    r.high = std::max(r.high, x[i]);
  }
  return out;
}

float nonzero(float scale) { return scale == 0 ? 1 : scale; }

Quantized symmetric(Quantized q, const Tensor& t) {
  const auto x = t.data<float>();
  const float last = static_cast<float>((1 << (q.bits - 1)) - 1);
  for (const Range& r : ranges(q, x))
    q.scales.push_back(nonzero(std::max(std::fabs(r.low), std::fabs(r.high)) / last));
  for (size_t i = 0; i < x.size(); ++i) {
    const float v = std::nearbyint(x[i] / q.scales[scale_of(q, i)]);
    q.codes[i] = static_cast<int32_t>(std::clamp(v, -last - 1, last));
  }
  return q;
}

Quantized asymmetric(Quantized q, const Tensor& t) {
  const auto x = t.data<float>();
  const float last = static_cast<float>((1 << q.bits) - 1);
  for (const Range& r : ranges(q, x)) {
    const float scale = nonzero((r.high - r.low) / last);
    q.scales.push_back(scale);
    q.zero_points.push_back(
        static_cast<int32_t>(std::clamp(std::nearbyint(-r.low / scale), 0.0f, last)));
  }
  for (size_t i = 0; i < x.size(); ++i) {
    const size_t s = scale_of(q, i);
    const float v = std::nearbyint(x[i] / q.scales[s]) + static_cast<float>(q.zero_points[s]);
    q.codes[i] = static_cast<int32_t>(std::clamp(v, 0.0f, last));
  }
  return q;
}

}  // namespace

Quantized symmetric_per_tensor(const Tensor& x, int bits) { return symmetric(start(x, bits), x); }
Quantized asymmetric_per_tensor(const Tensor& x, int bits) { return asymmetric(start(x, bits), x); }

Quantized symmetric_per_channel(const Tensor& x, int bits, size_t axis) {
  return symmetric(along_axis(start(x, bits), axis), x);
}
Quantized asymmetric_per_channel(const Tensor& x, int bits, size_t axis) {
  return asymmetric(along_axis(start(x, bits), axis), x);
}

Quantized symmetric_per_group(const Tensor& x, int bits, int64_t group) {
  return symmetric(in_groups(start(x, bits), group), x);
}
Quantized asymmetric_per_group(const Tensor& x, int bits, int64_t group) {
  return asymmetric(in_groups(start(x, bits), group), x);
}

Tensor dequantize(const Quantized& q) {
  Tensor out(DType::f32, q.shape);
  const auto values = out.mutable_data<float>();
  for (size_t i = 0; i < values.size(); ++i) {
    const size_t s = scale_of(q, i);
    const int32_t zero = q.zero_points.empty() ? 0 : q.zero_points[s];
    values[i] = static_cast<float>(q.codes[i] - zero) * q.scales[s];
  }
  return out;
}

}  // namespace nibble::tutorial
