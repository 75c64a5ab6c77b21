#include "nibble/quant/static_activations.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "nibble/core/error.h"
#include "nibble/core/float_formats.h"

namespace nibble {
namespace {

constexpr float kLargestCode = 127, kHalfRange = 127.5F, kLargestFp8 = 448;

float code(float x, float scale, float lowest) {
  return std::clamp(std::nearbyint(x / scale), lowest, kLargestCode);
}

// What the codes of a row are multiples of.
float row_scale(const QuantScheme& scheme, float fixed, float absmax) {
  if (scheme.activations == ActivationType::a8_static) return fixed;
  return absmax / (scheme.activations == ActivationType::a8_full ? kHalfRange : kLargestCode);
}

float absmax_below(std::span<const float> row, float threshold) {
  float out = 0;
  for (const float v : row) {
    if (!(std::fabs(v) > threshold)) out = std::max(out, std::fabs(v));
  }
  return out;
}

}  // namespace

bool needs_number(const QuantScheme& scheme) {
  return scheme.activations == ActivationType::a8_static ||
         scheme.activations == ActivationType::a8_outlier;
}

Tensor static_scale(std::span<const float> absmax) {
  float largest = 0;
  for (const float v : absmax) {
    if (!std::isfinite(v)) throw corrupt(fmt::format("calibration saw an input of {}", v));
    largest = std::max(largest, v);
  }
  const float scale = largest > 0 ? largest / kLargestCode : 1.0F;
  return Tensor::from<float>(Shape{1}, std::span(&scale, 1));
}

bool quantize_row_static(std::span<const float> x, float scale, std::span<int8_t> codes) {
  bool fine = true;
  for (size_t i = 0; i < x.size(); ++i) {
    const float u = x[i] / scale;
    fine = fine && u == u;
    const float cut = u > kLargestCode ? kLargestCode : (u > -kLargestCode ? u : -kLargestCode);
    codes[i] = static_cast<int8_t>((cut + 0x1.8p23F) - 0x1.8p23F);
  }
  return fine;
}

float quantize_row_full(std::span<const float> x, std::span<int8_t> codes) {
  float largest = 0;
  bool finite = true;
  for (const float v : x) {
    finite = finite && std::isfinite(v);
    largest = std::max(largest, std::fabs(v));
  }
  const float scale = finite ? largest / kHalfRange : std::numeric_limits<float>::quiet_NaN();
  for (size_t i = 0; i < x.size(); ++i)
    codes[i] = scale > 0 ? static_cast<int8_t>(code(x[i], scale, -kLargestCode - 1)) : int8_t{0};
  return scale;
}

void round_row_fp8(std::span<float> row) {
  float largest = 0;
  bool finite = true;
  for (const float v : row) {
    finite = finite && std::isfinite(v);
    largest = std::max(largest, std::fabs(v));
  }
  const float scale = largest / kLargestFp8;
  if (finite && scale == 0) return std::fill(row.begin(), row.end(), 0.0F);
  for (float& v : row)
    v = finite ? e4m3_to_f32(f32_to_e4m3(v / scale)) * scale
               : std::numeric_limits<float>::quiet_NaN();
}

void round_activations(const QuantScheme& scheme, float scale, float threshold, int64_t k,
                       std::span<float> rows) {
  if (scheme.activations == ActivationType::none) return;
  const auto width = static_cast<size_t>(k);
  for (size_t begin = 0; begin < rows.size(); begin += width) {
    const auto row = rows.subspan(begin, width);
    if (scheme.activations == ActivationType::afp8) {
      round_row_fp8(row);
      continue;
    }
    const bool spares = scheme.activations == ActivationType::a8_outlier;
    const float limit = spares ? threshold : INFINITY;
    const float s = row_scale(scheme, scale, absmax_below(row, limit));
    const bool full = scheme.activations == ActivationType::a8_full;
    for (float& v : row) {
      if (std::fabs(v) > limit) continue;
      v = s > 0 ? code(v, s, full ? -kLargestCode - 1 : -kLargestCode) * s : 0;
    }
  }
}

}  // namespace nibble
