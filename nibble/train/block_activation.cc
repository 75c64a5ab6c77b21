#include "nibble/train/block_activation.h"

#include <cmath>
#include <numbers>

namespace nibble {
namespace {

// kept = the sigmoid of gate (Shazeer 2020, SwiGLU).
template <class T>
void silu_gate(const BlockActivation<T>& a) {
  for (int64_t i = 0; i < a.n; ++i) {
    a.kept[i] = T{1} / (T{1} + std::exp(-a.gate[i]));
    a.activated[i] = a.up[i] * a.gate[i] * a.kept[i];
  }
}

template <class T>
void silu_gate_backward(const BlockActivation<T>& a, const T* dactivated, T* dgate, T* dup) {
  for (int64_t i = 0; i < a.n; ++i) {
    const T x = a.gate[i], sigmoid = a.kept[i];
    dup[i] = dactivated[i] * x * sigmoid;
    dgate[i] = dactivated[i] * a.up[i] * sigmoid * (T{1} + x * (T{1} - sigmoid));
  }
}

// x Phi(x); kept = its slope, Phi(x) + x phi(x) (Hendrycks and Gimpel 2016).
template <class T>
void exact_gelu(const BlockActivation<T>& a) {
  constexpr double kRootHalf = std::numbers::sqrt2 / 2;
  constexpr double kDensity = kRootHalf * std::numbers::inv_sqrtpi;  // 1 / sqrt(2 pi)
  for (int64_t i = 0; i < a.n; ++i) {
    const T x = a.up[i], below = T(0.5) * (T{1} + std::erf(x * T(kRootHalf)));
    a.activated[i] = x * below;
    a.kept[i] = below + x * T(kDensity) * std::exp(T(-0.5) * x * x);
  }
}

}  // namespace

template <class T>
void activate(const BlockActivation<T>& a, const TrainOps<T>& ops) {
  switch (a.kind) {
    case MlpKind::relu:
      return ops.relu(a.n, a.up, a.activated);
    case MlpKind::gelu_tanh:
      return ops.gelu(a.n, a.up, a.activated);
    case MlpKind::gelu:
      return exact_gelu(a);
    case MlpKind::silu_gated:
      return silu_gate(a);
    case MlpKind::gelu_tanh_gated:
      break;
  }
}

template <class T>
void activate_backward(const BlockActivation<T>& a, const T* dactivated, T* dgate, T* dup,
                       const TrainOps<T>& ops) {
  switch (a.kind) {
    case MlpKind::relu:
      return ops.relu_backward(a.n, a.activated, dactivated, dup);
    case MlpKind::gelu_tanh:
      return ops.gelu_backward(a.n, a.up, dactivated, dup);
    case MlpKind::gelu:
      for (int64_t i = 0; i < a.n; ++i) dup[i] = dactivated[i] * a.kept[i];
      return;
    case MlpKind::silu_gated:
      return silu_gate_backward(a, dactivated, dgate, dup);
    case MlpKind::gelu_tanh_gated:
      break;
  }
}

template void activate(const BlockActivation<float>&, const TrainOps<float>&);
template void activate(const BlockActivation<double>&, const TrainOps<double>&);
template void activate_backward(const BlockActivation<float>&, const float*, float*, float*,
                                const TrainOps<float>&);
template void activate_backward(const BlockActivation<double>&, const double*, double*, double*,
                                const TrainOps<double>&);

}  // namespace nibble
