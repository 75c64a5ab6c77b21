#include "nibble/nn/rotary.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

#include "nibble/core/error.h"
#include "nibble/kernels/layer.h"

namespace nibble {

double yarn_temperature(double factor, double mscale) {
  return factor <= 1 ? 1.0 : 0.1 * mscale * std::log(factor) + 1.0;
}

namespace {

constexpr double kTurn = 2 * std::numbers::pi;
constexpr int64_t kTurnedTogether = 256;  // elements

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

double yarn_attention_factor(const RopeConfig& c) {
  if (c.attention_factor > 0) return c.attention_factor;
  if (c.mscale > 0 && c.mscale_all_dim > 0)
    return yarn_temperature(c.factor, c.mscale) / yarn_temperature(c.factor, c.mscale_all_dim);
  return yarn_temperature(c.factor, 1.0);
}

// LongRoPE, as Phi-3 has it.
double long_attention_factor(const RopeConfig& c) {
  if (c.attention_factor > 0) return c.attention_factor;
  if (c.factor <= 1) return 1;
  return std::sqrt(1 + std::log(c.factor) / std::log(static_cast<double>(c.original_context)));
}

double attention_factor(const RopeConfig& c) {
  if (c.scaling == RopeScaling::yarn) return yarn_attention_factor(c);
  return c.scaling == RopeScaling::longrope ? long_attention_factor(c) : 1;
}

double theta_of(const RopeConfig& c, int64_t width) {
  if (c.scaling != RopeScaling::dynamic || c.alpha <= 0) return c.theta;
  const auto d = static_cast<double>(width);
  return c.theta * std::pow(c.alpha, d / (d - 2));
}

// Frequencies of `pairs` pairs of a head of `width` elements.
std::vector<float> frequencies_of(const RopeConfig& c, int64_t width, int64_t pairs,
                                  std::span<const double> divisors) {
  const Ramp ramp = c.scaling == RopeScaling::yarn ? yarn_ramp(c, width) : Ramp{0, 1};
  const double theta = theta_of(c, width);
  std::vector<float> out;
  for (int64_t i = 0; i < pairs; ++i) {
    double f = std::pow(theta, -2.0 * static_cast<double>(i) / static_cast<double>(width));
    if (c.scaling == RopeScaling::linear || c.scaling == RopeScaling::proportional) f /= c.factor;
    if (c.scaling == RopeScaling::llama3) f = llama3(f, c);
    if (c.scaling == RopeScaling::yarn) {
      const double stretched = ramp.at(static_cast<double>(i));
      f = f / c.factor * stretched + f * (1 - stretched);
    }
    if (!divisors.empty()) f /= divisors[static_cast<size_t>(i)];
    out.push_back(static_cast<float>(f));
  }
  return out;
}

}  // namespace

int64_t turned_width(const RopeConfig& c, int64_t head_dim) {
  if (c.scaling == RopeScaling::proportional) return head_dim;
  return static_cast<int64_t>(static_cast<double>(head_dim - c.begin) * c.part);
}

Rotary::Rotary(const RopeConfig& c, int64_t head_dim)
    : original_context_(c.original_context), begin_(c.begin), neighbours_(c.neighbours) {
  const int64_t width = turned_width(c, head_dim);
  NIBBLE_CHECK(width >= 2 && width % 2 == 0);
  const bool proportional = c.scaling == RopeScaling::proportional;
  const auto turned =
      proportional ? static_cast<int64_t>(c.part * static_cast<double>(head_dim) / 2) : width / 2;
  frequencies_ = frequencies_of(c, width, turned, c.short_factors);
  frequencies_.resize(static_cast<size_t>(width / 2));
  if (!c.long_factors.empty()) long_frequencies_ = frequencies_of(c, width, turned, c.long_factors);
  attention_factor_ = static_cast<float>(attention_factor(c));
}

void Rotary::angles(int64_t position, int64_t length, float* cos, float* sin) const {
  const bool is_long = !long_frequencies_.empty() && length > original_context_;
  const std::vector<float>& frequencies = is_long ? long_frequencies_ : frequencies_;
  for (size_t i = 0; i < frequencies.size(); ++i) {
    // In f32, as the models were trained.
    const float angle = static_cast<float>(position) * frequencies[i];
    cos[i] = std::cos(angle) * attention_factor_;
    sin[i] = std::sin(angle) * attention_factor_;
  }
}

void Rotary::apply(const float* cos, const float* sin, float* head) const {
  const LayerOps& ops = best_layer_ops();
  head += begin_;
  if (!neighbours_) return ops.rotate(cos, sin, pairs(), head);
  // Pairs in halves, and back: the same arithmetic.
  std::array<float, kTurnedTogether> halves;
  constexpr int64_t kPairs = kTurnedTogether / 2;
  for (int64_t first = 0; first < pairs(); first += kPairs) {
    const int64_t n = std::min(kPairs, pairs() - first);
    float* const x = head + 2 * first;
    for (int64_t i = 0; i < 2 * n; ++i) halves[static_cast<size_t>(i % 2 * n + i / 2)] = x[i];
    ops.rotate(cos + first, sin + first, n, halves.data());
    for (int64_t i = 0; i < 2 * n; ++i) x[i] = halves[static_cast<size_t>(i % 2 * n + i / 2)];
  }
}

}  // namespace nibble
