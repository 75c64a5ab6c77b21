#include "nibble/train/activation_gradient.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "nibble/nn/gate.h"

namespace nibble {
namespace {

// kept = the sigmoid of gate (Shazeer 2020, SwiGLU).
template <class T>
void silu_gate(const ActivationTask<T>& a) {
  for (int64_t i = 0; i < a.n; ++i) {
    a.kept[i] = T{1} / (T{1} + std::exp(-a.gate[i]));
    a.activated[i] = a.up[i] * a.gate[i] * a.kept[i];
  }
}

template <class T>
void silu_gate_backward(const ActivationTask<T>& a, const T* dactivated, T* dgate, T* dup) {
  for (int64_t i = 0; i < a.n; ++i) {
    const T x = a.gate[i], sigmoid = a.kept[i], d = dactivated[i];
    dup[i] = d * x * sigmoid;
    dgate[i] = d * a.up[i] * sigmoid * (T{1} + x * (T{1} - sigmoid));
  }
}

// kept = gelu_tanh(gate) (Shazeer 2020, GEGLU).
template <class T>
void gelu_gate(const ActivationTask<T>& a, const TrainOps<T>& ops) {
  ops.gelu(a.n, a.gate, a.kept);
  for (int64_t i = 0; i < a.n; ++i) a.activated[i] = a.up[i] * a.kept[i];
}

template <class T>
void gelu_gate_backward(const ActivationTask<T>& a, const T* dactivated, T* dgate, T* dup,
                        const TrainOps<T>& ops) {
  for (int64_t i = 0; i < a.n; ++i) {
    const T d = dactivated[i];
    dup[i] = d * a.kept[i];
    dgate[i] = d * a.up[i];
  }
  ops.gelu_backward(a.n, a.gate, dgate, dgate);
}

// kept = sigmoid(1.702 g) of the gate g as it is cut (OpenAI 2025, gpt-oss).
template <class T>
void clamped_gate(const ActivationTask<T>& a) {
  const T most = T(kClampedLimit);
  for (int64_t i = 0; i < a.n; ++i) {
    const T g = std::min(a.gate[i], most);
    a.kept[i] = T{1} / (T{1} + std::exp(-T(kClampedSlope) * g));
    a.activated[i] = (std::clamp(a.up[i], -most, most) + 1) * g * a.kept[i];
  }
}

template <class T>
void clamped_gate_backward(const ActivationTask<T>& a, const T* dactivated, T* dgate, T* dup) {
  const T most = T(kClampedLimit);
  for (int64_t i = 0; i < a.n; ++i) {
    const T x = a.gate[i], g = std::min(x, most), u = std::clamp(a.up[i], -most, most);
    const T sigmoid = a.kept[i], d = dactivated[i], slope = T(kClampedSlope) * (T{1} - sigmoid);
    dup[i] = std::abs(a.up[i]) <= most ? d * g * sigmoid : T{0};
    dgate[i] = x <= most ? d * (u + 1) * sigmoid * (T{1} + g * slope) : T{0};
  }
}

// x Phi(x); kept = its slope, Phi(x) + x phi(x) (Hendrycks and Gimpel 2016).
template <class T>
void exact_gelu(const ActivationTask<T>& a) {
  constexpr double kRootHalf = std::numbers::sqrt2 / 2;
  constexpr double kDensity = kRootHalf * std::numbers::inv_sqrtpi;  // 1 / sqrt(2 pi)
  for (int64_t i = 0; i < a.n; ++i) {
    const T x = a.up[i], below = T(0.5) * (T{1} + std::erf(x * T(kRootHalf)));
    a.activated[i] = x * below;
    a.kept[i] = below + x * T(kDensity) * std::exp(T(-0.5) * x * x);
  }
}

}  // namespace

bool keeps_more(LinearEnd end) { return is_gate(end) || end == LinearEnd::gelu; }

template <class T>
void activate(const ActivationTask<T>& a, const TrainOps<T>& ops) {
  switch (a.end) {
    case LinearEnd::none:
      std::copy_n(a.up, a.n, a.activated);
      return;
    case LinearEnd::relu:
      return ops.relu(a.n, a.up, a.activated);
    case LinearEnd::relu_squared:
      for (int64_t i = 0; i < a.n; ++i) a.activated[i] = a.up[i] > 0 ? a.up[i] * a.up[i] : T{0};
      return;
    case LinearEnd::gelu_tanh:
      return ops.gelu(a.n, a.up, a.activated);
    case LinearEnd::gelu:
      return exact_gelu(a);
    case LinearEnd::silu_gate:
      return silu_gate(a);
    case LinearEnd::gelu_tanh_gate:
      return gelu_gate(a, ops);
    case LinearEnd::clamped_gate:
      return clamped_gate(a);
  }
}

template <class T>
void activate_backward(const ActivationTask<T>& a, const T* dactivated, T* dgate, T* dup,
                       const TrainOps<T>& ops) {
  switch (a.end) {
    case LinearEnd::none:
      if (dup != dactivated) std::copy_n(dactivated, a.n, dup);
      return;
    case LinearEnd::relu:
      return ops.relu_backward(a.n, a.activated, dactivated, dup);
    case LinearEnd::relu_squared:
      for (int64_t i = 0; i < a.n; ++i) dup[i] = a.up[i] > 0 ? 2 * a.up[i] * dactivated[i] : T{0};
      return;
    case LinearEnd::gelu_tanh:
      return ops.gelu_backward(a.n, a.up, dactivated, dup);
    case LinearEnd::gelu:
      for (int64_t i = 0; i < a.n; ++i) dup[i] = dactivated[i] * a.kept[i];
      return;
    case LinearEnd::silu_gate:
      return silu_gate_backward(a, dactivated, dgate, dup);
    case LinearEnd::gelu_tanh_gate:
      return gelu_gate_backward(a, dactivated, dgate, dup, ops);
    case LinearEnd::clamped_gate:
      return clamped_gate_backward(a, dactivated, dgate, dup);
  }
}

template void activate(const ActivationTask<float>&, const TrainOps<float>&);
template void activate(const ActivationTask<double>&, const TrainOps<double>&);
template void activate_backward(const ActivationTask<float>&, const float*, float*, float*,
                                const TrainOps<float>&);
template void activate_backward(const ActivationTask<double>&, const double*, double*, double*,
                                const TrainOps<double>&);

}  // namespace nibble
