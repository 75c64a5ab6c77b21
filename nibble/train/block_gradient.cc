#include "nibble/train/block_gradient.h"

#include <algorithm>
#include <cmath>

#include "nibble/core/error.h"

namespace nibble {
namespace {

template <class T>
const T* or_null(const Buffer<T>& b) {
  return b.size() == 0 ? nullptr : b.data();
}

}  // namespace

template <class T>
void BlockGradient<T>::reserve(int64_t tokens) {
  if (tokens <= capacity_) return;
  capacity_ = tokens;
  const DecoderConfig& c = config_;
  const int64_t q = c.heads * c.head_dim, kv = c.kv_heads * c.head_dim;
  const auto of_width = [&](int64_t width) { return Buffer<T>(tokens * width); };
  const auto norm = [&] { return Norm{of_width(c.hidden_size), of_width(1), of_width(1)}; };
  const auto heads = [&](int64_t count) {
    Heads h{count, {}, of_width(count * c.head_dim), of_width(count * c.head_dim), {}};
    if (!c.qk_norm) return h;
    h.projected = of_width(count * c.head_dim);
    h.norm = {of_width(count * c.head_dim), of_width(count), of_width(count)};
    return h;
  };
  attention_.reserve(tokens, kv);
  q_ = heads(c.heads);
  k_ = heads(c.kv_heads);
  attn_norm_ = norm();
  mlp_norm_ = norm();
  for (Buffer<T>* b : {&x_, &middle_, &dnarrow_}) *b = of_width(c.hidden_size);
  for (Buffer<T>* b : {&attended_, &dattended_}) *b = of_width(q);
  for (Buffer<T>* b : {&v_, &dv_}) *b = of_width(kv);
  for (Buffer<T>* b : {&up_, &activated_, &dactivated_, &dup_}) *b = of_width(c.intermediate_size);
  if (c.mlp == MlpKind::silu_gated) {
    gate_ = of_width(c.intermediate_size);
    dgate_ = of_width(c.intermediate_size);
  }
  if (c.mlp == MlpKind::silu_gated || c.mlp == MlpKind::gelu) kept_ = of_width(c.intermediate_size);
  if (c.qk_norm) dprojected_ = of_width(q);
  if (c.position == PositionKind::rotary) compute_angles();
}

template <class T>
void BlockGradient<T>::compute_angles() {
  const int64_t half = config_.head_dim / 2;
  const Rotary rotary(config_.rope, config_.head_dim);
  std::vector<float> cos(static_cast<size_t>(half)), sin(cos.size());
  cos_ = Buffer<T>(capacity_ * half);
  sin_ = Buffer<T>(capacity_ * half);
  for (int64_t t = 0; t < capacity_; ++t) {
    rotary.angles(t, cos.data(), sin.data());
    std::copy(cos.begin(), cos.end(), cos_.data() + t * half);
    std::copy(sin.begin(), sin.end(), sin_.data() + t * half);
  }
}

template <class T>
TrainNorm<T> BlockGradient<T>::norm_task(const BlockNorm<T>& w, const T* x, Norm& n) const {
  return {tokens_,
          config_.hidden_size,
          config_.norm == NormKind::layer,
          T(config_.norm_eps),
          x,
          or_null(w.gain),
          or_null(w.bias),
          n.y.data(),
          n.mean.data(),
          n.rstd.data()};
}

// The RMSNorm of each query or key.
template <class T>
TrainNorm<T> BlockGradient<T>::head_norm_task(const BlockNorm<T>& w, Heads& h) const {
  return {tokens_ * h.heads,  config_.head_dim,  false,           T(config_.norm_eps),
          h.projected.data(), or_null(w.gain),   or_null(w.bias), h.norm.y.data(),
          h.norm.mean.data(), h.norm.rstd.data()};
}

template <class T>
void BlockGradient<T>::linear(const BlockMatrix<T>& w, const T* x, T* y, bool accumulate) {
  products_.forward(w, tokens_, x, y, accumulate);
}

template <class T>
void BlockGradient<T>::linear_backward(const BlockMatrix<T>& w, const T* dy, T* dx,
                                       bool accumulate) {
  products_.backward(w, tokens_, dy, dx, accumulate);
}

// dx += what dnarrow_, the gradient of a norm's output, is for the norm's input x.
template <class T>
void BlockGradient<T>::through_norm(const BlockNorm<T>& w, const T* x, Norm& n, T* dx) {
  ops_.norm_backward(norm_task(w, x, n), {dnarrow_.data(), dx, nullptr, nullptr, true});
}

// x times `scale`, each pair of a head turned by its position's angle (backward: direction -1).
template <class T>
void BlockGradient<T>::turn(Heads& h, T scale, T direction, T* x) const {
  const int64_t half = config_.head_dim / 2;
  if (config_.position != PositionKind::rotary) {
    for (int64_t i = 0; i < tokens_ * h.heads * config_.head_dim; ++i) x[i] *= scale;
    return;
  }
  for (int64_t t = 0; t < tokens_; ++t) {
    const T *cos = cos_.data() + t * half, *sin = sin_.data() + t * half;
    for (int64_t head = 0; head < h.heads; ++head, x += 2 * half) {
      for (int64_t i = 0; i < half; ++i) {
        const T a = x[i] * scale, b = x[i + half] * scale, s = direction * sin[i];
        x[i] = a * cos[i] - b * s;
        x[i + half] = b * cos[i] + a * s;
      }
    }
  }
}

template <class T>
void BlockGradient<T>::prepare_heads(const BlockNorm<T>& w, T scale, Heads& h) {
  if (config_.qk_norm) {
    ops_.norm(head_norm_task(w, h));
    std::copy_n(h.norm.y.data(), tokens_ * h.heads * config_.head_dim, h.turned.data());
  }
  turn(h, scale, T{1}, h.turned.data());
}

// The gradient of the projection's outputs from h.gradient, that of what attention read.
template <class T>
const T* BlockGradient<T>::prepare_heads_backward(const BlockNorm<T>& w, T scale, Heads& h) {
  turn(h, scale, T{-1}, h.gradient.data());
  if (!config_.qk_norm) return h.gradient.data();
  ops_.norm_backward(head_norm_task(w, h),
                     {h.gradient.data(), dprojected_.data(), nullptr, nullptr, false});
  return dprojected_.data();
}

template <class T>
AttentionTask<T> BlockGradient<T>::attention_task(const BlockWeights<T>& w) const {
  return {tokens_,  config_.heads,    config_.kv_heads, config_.head_dim,
          w.window, q_.turned.data(), k_.turned.data(), v_.data()};
}

template <class T>
BlockActivation<T> BlockGradient<T>::activation_task() {
  return {config_.mlp,       tokens_ * config_.intermediate_size,
          gate_.data(),      up_.data(),
          activated_.data(), kept_.data()};
}

template <class T>
T attention_scale(const DecoderConfig& c) {
  return T{1} / std::sqrt(static_cast<T>(c.head_dim));
}

template <class T>
void BlockGradient<T>::forward(const BlockWeights<T>& w, int64_t tokens, const T* x, T* out) {
  reserve(tokens);
  tokens_ = tokens;
  const int64_t size = tokens * config_.hidden_size;
  std::copy_n(x, size, x_.data());
  ops_.norm(norm_task(w.attn_norm, x_.data(), attn_norm_));
  const auto project = [&](const BlockMatrix<T>& matrix, Heads& h) {
    linear(matrix, attn_norm_.y.data(), (config_.qk_norm ? h.projected : h.turned).data(), false);
  };
  project(w.q, q_);
  project(w.k, k_);
  linear(w.v, attn_norm_.y.data(), v_.data(), false);
  prepare_heads(w.q_norm, attention_scale<T>(config_), q_);
  prepare_heads(w.k_norm, T{1}, k_);
  attention_.forward(attention_task(w), attended_.data());
  std::copy_n(x_.data(), size, middle_.data());
  linear(w.o, attended_.data(), middle_.data(), true);

  ops_.norm(norm_task(w.mlp_norm, middle_.data(), mlp_norm_));
  if (w.gate.n > 0) linear(w.gate, mlp_norm_.y.data(), gate_.data(), false);
  linear(w.up, mlp_norm_.y.data(), up_.data(), false);
  activate(activation_task(), ops_);
  std::copy_n(middle_.data(), size, out);
  linear(w.down, activated_.data(), out, true);
}

template <class T>
void BlockGradient<T>::mlp_backward(const BlockWeights<T>& w, T* dx,
                                    const OutputGradients<T>& hear) {
  hear(Role::down, dx);
  linear_backward(w.down, dx, dactivated_.data(), false);
  activate_backward(activation_task(), dactivated_.data(), dgate_.data(), dup_.data(), ops_);
  hear(Role::up, dup_.data());
  linear_backward(w.up, dup_.data(), dnarrow_.data(), false);
  if (w.gate.n > 0) {
    hear(Role::gate, dgate_.data());
    linear_backward(w.gate, dgate_.data(), dnarrow_.data(), true);
  }
  through_norm(w.mlp_norm, middle_.data(), mlp_norm_, dx);
}

template <class T>
void BlockGradient<T>::attention_backward(const BlockWeights<T>& w, T* dx,
                                          const OutputGradients<T>& hear) {
  hear(Role::o, dx);
  linear_backward(w.o, dx, dattended_.data(), false);
  attention_.backward(attention_task(w), attended_.data(), dattended_.data(), q_.gradient.data(),
                      k_.gradient.data(), dv_.data());
  const T* const dq = prepare_heads_backward(w.q_norm, attention_scale<T>(config_), q_);
  hear(Role::q, dq);
  linear_backward(w.q, dq, dnarrow_.data(), false);
  const T* const dk = prepare_heads_backward(w.k_norm, T{1}, k_);
  hear(Role::k, dk);
  linear_backward(w.k, dk, dnarrow_.data(), true);
  hear(Role::v, dv_.data());
  linear_backward(w.v, dv_.data(), dnarrow_.data(), true);
  through_norm(w.attn_norm, x_.data(), attn_norm_, dx);
}

template <class T>
void BlockGradient<T>::backward(const BlockWeights<T>& w, T* dx, const OutputGradients<T>& hear) {
  mlp_backward(w, dx, hear);
  attention_backward(w, dx, hear);
}

template class BlockGradient<float>;
template class BlockGradient<double>;

}  // namespace nibble
