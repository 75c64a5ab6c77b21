// What the slow definition of every architecture (reference_layer.h) is made of, in f64.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <vector>

#include "nibble/model/layer_plan.h"
#include "nibble/model/parameter_finder.h"
#include "nibble/nn/gate.h"

namespace nibble::reference {

using Rows = std::vector<double>;

inline size_t at(int64_t i) { return static_cast<size_t>(i); }

// y [k, n] += W x + b for each row of x: the row's own weight [outputs, inputs].
struct Matrix {
  std::vector<float> weight, bias;
  int64_t outputs = 0, inputs = 0;
  void add(const double* x, double* y) const {
    for (int64_t o = 0; o < outputs; ++o) {
      for (int64_t i = 0; i < inputs; ++i) y[o] += double{weight[at(o * inputs + i)]} * x[i];
      if (!bias.empty()) y[o] += double{bias[at(o)]};
    }
  }
};

inline Matrix matrix(const ParameterFinder& find, const ParamKey& key) {
  const LinearMember m = find.linear(key);
  return {m.weight.values(), find.vector(key.with_bias(true)), m.weight.rows(), m.weight.columns()};
}

inline void norm_row(const ParameterFinder& find, const ParamKey& key, NormKind kind, double eps,
                     int64_t width, double* x) {
  const std::vector<float> gain = find.vector(key), bias = find.vector(key.with_bias(true));
  const auto n = static_cast<double>(width);
  double mean = 0, square = 0;
  for (int64_t i = 0; i < width && kind == NormKind::layer; ++i) mean += x[i] / n;
  for (int64_t i = 0; i < width; ++i) square += (x[i] - mean) * (x[i] - mean) / n;
  for (int64_t i = 0; i < width; ++i) {
    x[i] = (x[i] - mean) / std::sqrt(square + eps);
    if (!gain.empty()) x[i] *= double{gain[at(i)]};
    if (!bias.empty()) x[i] += double{bias[at(i)]};
  }
}

inline double capped(double x, double cap) { return cap > 0 ? cap * std::tanh(x / cap) : x; }

inline double gelu_tanh(double x) {
  const double inner = std::sqrt(2 / std::numbers::pi) * (x + 0.044715 * x * x * x);
  return 0.5 * x * (1 + std::tanh(inner));
}

inline double ended(LinearEnd end, double gate, double up) {
  switch (end) {
    case LinearEnd::none:
      return up;
    case LinearEnd::relu:
      return std::max(up, 0.0);
    case LinearEnd::relu_squared:
      return std::max(up, 0.0) * std::max(up, 0.0);
    case LinearEnd::gelu:
      return 0.5 * up * (1 + std::erf(up / std::numbers::sqrt2));
    case LinearEnd::gelu_tanh:
      return gelu_tanh(up);
    case LinearEnd::silu_gate:
      return gate / (1 + std::exp(-gate)) * up;
    case LinearEnd::gelu_tanh_gate:
      return gelu_tanh(gate) * up;
    case LinearEnd::clamped_gate: {
      const double most = double{kClampedLimit}, g = std::min(gate, most);
      return g / (1 + std::exp(-double{kClampedSlope} * g)) * (std::clamp(up, -most, most) + 1);
    }
  }
  return 0;
}

/// Scores of the experts of one row, from its logits.
Rows scores(const ExpertPlan& plan, Rows logits);
/// The places of the `count` largest, the first of those that are alike.
std::vector<int64_t> largest(const Rows& of, int64_t count);
/// What experts are compared by: those outside the best groups are out.
Rows compared(const ExpertPlan& plan, Rows by);

}  // namespace nibble::reference
