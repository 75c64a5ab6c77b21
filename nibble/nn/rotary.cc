#include "nibble/nn/rotary.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "nibble/core/error.h"
#include "nibble/kernels/layer.h"

namespace nibble {
namespace {

constexpr double kTurn = 2 * std::numbers::pi;

// Llama 3.1: by how long the wave is, measured in the context the model was trained on.
double llama3(double frequency, const RopeConfig& c) {
  const double wave = kTurn / frequency, original = static_cast<double>(c.original_context);
  if (wave < original / c.high_freq_factor) return frequency;
  if (wave > original / c.low_freq_factor) return frequency / c.factor;
  const double smooth =
      (original / wave - c.low_freq_factor) / (c.high_freq_factor - c.low_freq_factor);
  return (1 - smooth) * frequency / c.factor + smooth * frequency;
}

// YaRN, section 3.2: the dimension whose wave turns `turns` times within the original context.
double yarn_dimension(double turns, const RopeConfig& c, int64_t head_dim) {
  const double waves = static_cast<double>(c.original_context) / (turns * kTurn);
  return static_cast<double>(head_dim) * std::log(waves) / (2 * std::log(c.theta));
}

struct Ramp {
  double low, high;
  double at(double i) const { return std::clamp((i - low) / (high - low), 0.0, 1.0); }
};

Ramp yarn_ramp(const RopeConfig& c, int64_t head_dim) {
  double low = yarn_dimension(c.beta_fast, c, head_dim);
  double high = yarn_dimension(c.beta_slow, c, head_dim);
  if (c.truncate) low = std::floor(low), high = std::ceil(high);
  low = std::max(low, 0.0);
  high = std::min(high, static_cast<double>(head_dim - 1));
  if (low == high) high += 0.001;
  return {low, high};
}

double yarn_temperature(double factor, double mscale) {
  return factor <= 1 ? 1.0 : 0.1 * mscale * std::log(factor) + 1.0;
}

double yarn_attention_factor(const RopeConfig& c) {
  if (c.attention_factor > 0) return c.attention_factor;
  if (c.mscale > 0 && c.mscale_all_dim > 0)
    return yarn_temperature(c.factor, c.mscale) / yarn_temperature(c.factor, c.mscale_all_dim);
  return yarn_temperature(c.factor, 1.0);
}

}  // namespace

Rotary::Rotary(const RopeConfig& c, int64_t head_dim) {
  NIBBLE_CHECK(head_dim % 2 == 0);
  const Ramp ramp = c.scaling == RopeScaling::yarn ? yarn_ramp(c, head_dim) : Ramp{0, 1};
  for (int64_t i = 0; i < head_dim / 2; ++i) {
    double f = std::pow(c.theta, -2.0 * static_cast<double>(i) / static_cast<double>(head_dim));
    if (c.scaling == RopeScaling::linear) f /= c.factor;
    if (c.scaling == RopeScaling::llama3) f = llama3(f, c);
    if (c.scaling == RopeScaling::yarn) {
      const double stretched = ramp.at(static_cast<double>(i));
      f = f / c.factor * stretched + f * (1 - stretched);
    }
    frequencies_.push_back(static_cast<float>(f));
  }
  if (c.scaling == RopeScaling::yarn)
    attention_factor_ = static_cast<float>(yarn_attention_factor(c));
}

void Rotary::angles(int64_t position, float* cos, float* sin) const {
  for (size_t i = 0; i < frequencies_.size(); ++i) {
    // In f32, as the models were trained.
    const float angle = static_cast<float>(position) * frequencies_[i];
    cos[i] = std::cos(angle) * attention_factor_;
    sin[i] = std::sin(angle) * attention_factor_;
  }
}

void Rotary::apply(const float* cos, const float* sin, int64_t heads, float* x) const {
  const auto half = static_cast<int64_t>(frequencies_.size());
  const LayerOps& ops = best_layer_ops();
  for (int64_t head = 0; head < heads; ++head) ops.rotate(cos, sin, half, x + head * 2 * half);
}

}  // namespace nibble
