// The quantizers as tutorials write them, for examples, for comparison and as a check against
// PyTorch: any axis of an n-d tensor, scales in f32, codes as plain integers. The product's own
// form is quantize_rtn (rtn.h), which differs in three points: there the asymmetric range is
// extended to hold 0, scales are rounded to their stored type first, and a zero scale is stored
// as 0.
//
//   symmetric:   scale = max|x| / (2^(b-1) - 1),  q = clamp(round(x / scale), -2^(b-1), 2^(b-1) -
//   1) asymmetric:  scale = (max - min) / (2^b - 1), z = clamp(round(-min / scale), 0, 2^b - 1),
//                q = clamp(round(x / scale) + z, 0, 2^b - 1)
//
// Everything in f32, halves rounded to even, a scale of 0 replaced by 1. Bits from 2 to 8.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "nibble/core/error.h"
#include "nibble/core/float_formats.h"
#include "nibble/core/tensor.h"

namespace nibble::tutorial {

/// Codes with the scales that give them meaning. Element i (row-major) belongs to scale
/// (i / inner) % extent.
struct Quantized {
  Shape shape;
  int bits = 8;
  std::vector<int32_t> codes;
  std::vector<float> scales;
  std::vector<int32_t> zero_points;  ///< empty where symmetric
  int64_t inner = 1, extent = 1;
};

/// x is f32 of any rank. Errors: bits outside 2 to 8, an axis outside the rank, a group that does
/// not divide the last extent (Error{invalid_argument}), NaN or infinity (Error{corrupt}).
Quantized symmetric_per_tensor(const Tensor& x, int bits);
Quantized asymmetric_per_tensor(const Tensor& x, int bits);
/// One scale for each index along `axis`, shared over all the others.
Quantized symmetric_per_channel(const Tensor& x, int bits, size_t axis);
Quantized asymmetric_per_channel(const Tensor& x, int bits, size_t axis);
/// One scale for each run of `group` elements along the last axis.
Quantized symmetric_per_group(const Tensor& x, int bits, int64_t group);
Quantized asymmetric_per_group(const Tensor& x, int bits, int64_t group);

/// (code - zero point) * scale, f32.
Tensor dequantize(const Quantized& q);

struct Range {
  float low = std::numeric_limits<float>::infinity();
  float high = -std::numeric_limits<float>::infinity();
};

inline Quantized start(const Tensor& x, int bits) {
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

inline Quantized along_axis(Quantized q, size_t axis) {
  if (axis >= q.shape.rank()) {
    throw invalid_argument(
        fmt::format("axis {} does not exist in shape {}", axis, q.shape.to_string()));
  }
  q.extent = std::max<int64_t>(q.shape[axis], 1);
  q.inner = 1;
  for (size_t i = axis + 1; i < q.shape.rank(); ++i) q.inner *= std::max<int64_t>(q.shape[i], 1);
  return q;
}

inline Quantized in_groups(Quantized q, int64_t group) {
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

inline size_t scale_of(const Quantized& q, size_t element) {
  return element / static_cast<size_t>(q.inner) % static_cast<size_t>(q.extent);
}

inline std::vector<Range> ranges(const Quantized& q, std::span<const float> x) {
  std::vector<Range> out(static_cast<size_t>(q.extent));
  for (size_t i = 0; i < x.size(); ++i) {
    Range& r = out[scale_of(q, i)];
    r.low = std::min(r.low, x[i]);
    r.high = std::max(r.high, x[i]);
  }
  return out;
}

inline float nonzero(float scale) { return scale == 0 ? 1 : scale; }

inline Quantized symmetric(Quantized q, const Tensor& t) {
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

inline Quantized asymmetric(Quantized q, const Tensor& t) {
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

inline Quantized symmetric_per_tensor(const Tensor& x, int bits) {
  return symmetric(start(x, bits), x);
}
inline Quantized asymmetric_per_tensor(const Tensor& x, int bits) {
  return asymmetric(start(x, bits), x);
}

inline Quantized symmetric_per_channel(const Tensor& x, int bits, size_t axis) {
  return symmetric(along_axis(start(x, bits), axis), x);
}
inline Quantized asymmetric_per_channel(const Tensor& x, int bits, size_t axis) {
  return asymmetric(along_axis(start(x, bits), axis), x);
}

inline Quantized symmetric_per_group(const Tensor& x, int bits, int64_t group) {
  return symmetric(in_groups(start(x, bits), group), x);
}
inline Quantized asymmetric_per_group(const Tensor& x, int bits, int64_t group) {
  return asymmetric(in_groups(start(x, bits), group), x);
}

inline Tensor dequantize(const Quantized& q) {
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
