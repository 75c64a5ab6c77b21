#include "nibble/quant/static_activations.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "nibble/core/error.h"

namespace nibble {
namespace {

constexpr float kLargestCode = 127;

float rounded(float x, float scale) {
  return std::clamp(std::nearbyint(x / scale), -kLargestCode, kLargestCode) * scale;
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

void round_activations(const QuantScheme& scheme, float scale, float threshold, int64_t k,
                       std::span<float> rows) {
  if (scheme.activations == ActivationType::none) return;
  const auto width = static_cast<size_t>(k);
  for (size_t begin = 0; begin < rows.size(); begin += width) {
    const auto row = rows.subspan(begin, width);
    const bool spares = scheme.activations == ActivationType::a8_outlier;
    const float limit = spares ? threshold : INFINITY;
    const float s = scheme.activations == ActivationType::a8_static
                        ? scale
                        : absmax_below(row, limit) / kLargestCode;
    for (float& v : row) {
      if (std::fabs(v) > limit) continue;
      v = s > 0 ? rounded(v, s) : 0;
    }
  }
}

}  // namespace nibble
