#include "nibble/nn/norm.h"

#include <cmath>

namespace nibble {
namespace {

void scale_and_shift(std::span<float> row, std::span<const float> gain,
                     std::span<const float> bias) {
  if (!gain.empty()) {
    for (size_t i = 0; i < row.size(); ++i) row[i] *= gain[i];
  }
  if (!bias.empty()) {
    for (size_t i = 0; i < row.size(); ++i) row[i] += bias[i];
  }
}

}  // namespace

void rms_norm(std::span<const float> x, int64_t m, int64_t width, std::span<const float> gain,
              std::span<const float> bias, double eps, std::span<float> out) {
  const auto w = static_cast<size_t>(width);
  for (size_t r = 0; r < static_cast<size_t>(m); ++r) {
    const auto in = x.subspan(r * w, w);
    const auto row = out.subspan(r * w, w);
    double sum = 0;
    for (const float v : in) sum += static_cast<double>(v) * v;
    const auto scale = static_cast<float>(1.0 / std::sqrt(sum / static_cast<double>(width) + eps));
    for (size_t i = 0; i < w; ++i) row[i] = in[i] * scale;
    scale_and_shift(row, gain, bias);
  }
}

void layer_norm(std::span<const float> x, int64_t m, int64_t width, std::span<const float> gain,
                std::span<const float> bias, double eps, std::span<float> out) {
  const auto w = static_cast<size_t>(width);
  for (size_t r = 0; r < static_cast<size_t>(m); ++r) {
    const auto in = x.subspan(r * w, w);
    const auto row = out.subspan(r * w, w);
    double sum = 0, squares = 0;
    for (const float v : in) sum += v;
    const double mean = sum / static_cast<double>(width);
    for (const float v : in) squares += (v - mean) * (v - mean);
    const double scale = 1.0 / std::sqrt(squares / static_cast<double>(width) + eps);
    for (size_t i = 0; i < w; ++i) row[i] = static_cast<float>((in[i] - mean) * scale);
    scale_and_shift(row, gain, bias);
  }
}

}  // namespace nibble
