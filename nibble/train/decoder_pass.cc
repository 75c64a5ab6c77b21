#include "nibble/train/decoder_pass.h"

#include <algorithm>
#include <cmath>

#include "nibble/core/error.h"

namespace nibble {

template <class T>
void transpose_weights(const ParamLayout& layout, const TrainOps<T>& ops, const T* weights,
                       T* transposed, int64_t first, int64_t last) {
  const std::vector<MatrixSlot>& all = layout.products;
  for (int64_t i = first; i < last; ++i) {
    const MatrixSlot& m = all[static_cast<size_t>(i)];
    ops.transpose(m.n, m.k, weights + m.weight, transposed + m.transposed, m.ld);
  }
}

template <class T>
typename DecoderPass<T>::Norm DecoderPass<T>::make_norm() const {
  const int64_t width = layout_.config.hidden_size;
  return {Buffer<T>(capacity_ * width), Buffer<T>(capacity_), Buffer<T>(capacity_)};
}

template <class T>
void DecoderPass<T>::reserve(int64_t rows) {
  if (rows <= capacity_) return;
  capacity_ = round_up(rows, kTrainAlign);
  const DecoderConfig& c = layout_.config;
  const auto of_width = [&](int64_t width) { return Buffer<T>(capacity_ * width); };
  const int64_t attention = c.heads * c.head_dim, inner = c.intermediate_size;
  embedded_ = of_width(c.hidden_size);
  top_ = of_width(c.hidden_size);
  logits_ = of_width(layout_.head.ld);
  sum_ = of_width(1);
  gap_ = of_width(1);
  embedding_ = make_norm();
  final_ = make_norm();
  layers_.clear();
  for (int64_t i = 0; i < c.layers; ++i) {
    layers_.push_back({make_norm(), make_norm(), of_width(c.hidden_size), of_width(3 * attention),
                       of_width((c.context + 1) * c.heads), of_width(attention),
                       of_width(c.hidden_size), of_width(inner), of_width(inner)});
  }
  dx_ = of_width(c.hidden_size);
  dnarrow_ = of_width(std::max(c.hidden_size, attention));
  dwide_ = of_width(inner);
  dqkv_ = of_width(3 * attention);
}

template <class T>
TrainNorm<T> DecoderPass<T>::norm_task(const NormSlot& slot, const T* weights, const T* x,
                                       Norm& n) const {
  const DecoderConfig& c = layout_.config;
  const auto at = [&](int64_t offset) { return offset < 0 ? nullptr : weights + offset; };
  return {rows_,
          c.hidden_size,
          c.norm == NormKind::layer,
          T(c.norm_eps),
          x,
          at(slot.gain),
          at(slot.bias),
          n.y.data(),
          n.mean.data(),
          n.rstd.data()};
}

template <class T>
void DecoderPass<T>::norm(const NormSlot& slot, const T* weights, const T* x, Norm& n) {
  ops_.norm(norm_task(slot, weights, x, n));
}

template <class T>
void DecoderPass<T>::norm_backward(const NormSlot& slot, const T* weights, const T* x, Norm& n,
                                   const T* dy, T* dx, T* gradient, bool accumulate) {
  const auto at = [&](int64_t offset) { return offset < 0 ? nullptr : gradient + offset; };
  ops_.norm_backward(norm_task(slot, weights, x, n),
                     {dy, dx, at(slot.gain), at(slot.bias), accumulate});
}

// y = x W^T + b; the padding columns of ldy are computed too (they are zeros).
template <class T>
void DecoderPass<T>::linear(const MatrixSlot& m, const T* weights, const T* transposed, const T* x,
                            T* y, int64_t ldy, bool accumulate) {
  ops_.product({rows_, ldy, m.k, x, m.k, 1, transposed + m.transposed, m.ld, y, ldy, accumulate});
  if (m.bias >= 0) ops_.add_bias(rows_, m.n, weights + m.bias, y);
}

// dx = dy W, dW += dy^T x, db += sum dy.
template <class T>
void DecoderPass<T>::linear_backward(const MatrixSlot& m, const T* weights, const T* x, const T* dy,
                                     int64_t ldy, T* dx, T* gradient) {
  ops_.product({m.n, m.k, rows_, dy, 1, ldy, x, m.k, gradient + m.weight, m.k, true});
  if (m.bias >= 0) ops_.bias_backward(rows_, m.n, dy, gradient + m.bias);
  ops_.product({rows_, m.k, m.n, dy, ldy, 1, weights + m.weight, m.k, dx, m.k, false});
}

template <class T>
void DecoderPass<T>::embed(const T* weights, const int32_t* token, const int32_t* position) {
  const int64_t width = layout_.config.hidden_size;
  T* out = layout_.config.embedding_norm ? embedded_.data() : layer_input(0);
  for (int64_t r = 0; r < rows_; ++r) {
    const T* a = weights + layout_.wte + token[r] * width;
    const T* b = weights + layout_.wpe + position[r] * width;
    for (int64_t i = 0; i < width; ++i) out[r * width + i] = a[i] + b[i];
  }
}

template <class T>
void DecoderPass<T>::embed_backward(const int32_t* token, const int32_t* position, const T* dx,
                                    T* gradient) {
  const int64_t width = layout_.config.hidden_size;
  for (int64_t r = 0; r < rows_; ++r) {
    T* a = gradient + layout_.wte + token[r] * width;
    T* b = gradient + layout_.wpe + position[r] * width;
    for (int64_t i = 0; i < width; ++i) {
      a[i] += dx[r * width + i];
      b[i] += dx[r * width + i];
    }
  }
}

template <class T>
TrainAttention<T> DecoderPass<T>::attention_task(Layer& layer, const Batch& batch,
                                                 const Chunk& chunk, int64_t s) const {
  const DecoderConfig& c = layout_.config;
  const int64_t first = batch.starts[static_cast<size_t>(s)];
  const int64_t tokens = batch.starts[static_cast<size_t>(s) + 1] - first;
  const int64_t row = first - chunk.first_row, width = c.heads * c.head_dim;
  const T scale = T{1} / std::sqrt(static_cast<T>(c.head_dim));
  return {tokens,
          c.heads,
          c.head_dim,
          scale,
          layer.qkv.data() + row * 3 * width,
          layer.attended.data() + row * width,
          layer.p.data() + row * (c.context + 1) * c.heads};
}

template <class T>
void DecoderPass<T>::block(size_t index, const T* weights, const T* transposed, const Batch& batch,
                           const Chunk& chunk, T* out) {
  Layer& a = layers_[index];
  const BlockSlots& b = layout_.blocks[index];
  const int64_t width = layout_.config.hidden_size, size = rows_ * width;
  norm(b.attn_norm, weights, a.x.data(), a.attn_norm);
  linear(b.qkv, weights, transposed, a.attn_norm.y.data(), a.qkv.data(), b.qkv.n, false);
  for (int64_t s = chunk.begin; s < chunk.end; ++s) {
    ops_.attention(attention_task(a, batch, chunk, s));
  }
  std::copy_n(a.x.data(), size, a.middle.data());
  linear(b.o, weights, transposed, a.attended.data(), a.middle.data(), width, true);

  norm(b.mlp_norm, weights, a.middle.data(), a.mlp_norm);
  linear(b.up, weights, transposed, a.mlp_norm.y.data(), a.up.data(), b.up.n, false);
  const auto activate = layout_.config.mlp == MlpKind::relu ? ops_.relu : ops_.gelu;
  activate(rows_ * b.up.n, a.up.data(), a.activated.data());
  std::copy_n(a.middle.data(), size, out);
  linear(b.down, weights, transposed, a.activated.data(), out, width, true);
}

// dx_ holds dL/d(output) and becomes dL/d(input).
template <class T>
void DecoderPass<T>::block_backward(size_t index, const T* weights, const Batch& batch,
                                    const Chunk& chunk, T* gradient) {
  Layer& a = layers_[index];
  const BlockSlots& b = layout_.blocks[index];
  const int64_t inner = rows_ * b.up.n;
  const auto through_norm = [&](const NormSlot& slot, const T* x, Norm& n) {
    norm_backward(slot, weights, x, n, dnarrow_.data(), dx_.data(), gradient, true);
  };
  linear_backward(b.down, weights, a.activated.data(), dx_.data(), b.down.n, dwide_.data(),
                  gradient);
  if (layout_.config.mlp == MlpKind::relu) {
    ops_.relu_backward(inner, a.activated.data(), dwide_.data(), dwide_.data());
  } else {
    ops_.gelu_backward(inner, a.up.data(), dwide_.data(), dwide_.data());
  }
  linear_backward(b.up, weights, a.mlp_norm.y.data(), dwide_.data(), b.up.n, dnarrow_.data(),
                  gradient);
  through_norm(b.mlp_norm, a.middle.data(), a.mlp_norm);

  linear_backward(b.o, weights, a.attended.data(), dx_.data(), b.o.n, dnarrow_.data(), gradient);
  for (int64_t s = chunk.begin; s < chunk.end; ++s) {
    const int64_t row = batch.starts[static_cast<size_t>(s)] - chunk.first_row;
    ops_.attention_backward(attention_task(a, batch, chunk, s), dnarrow_.data() + row * b.o.k,
                            dqkv_.data() + row * 3 * b.o.k);
  }
  linear_backward(b.qkv, weights, a.attn_norm.y.data(), dqkv_.data(), b.qkv.n, dnarrow_.data(),
                  gradient);
  through_norm(b.attn_norm, a.x.data(), a.attn_norm);
}

template <class T>
const T* DecoderPass<T>::logits(const T* weights, const T* transposed, const Batch& batch,
                                const Chunk& chunk) {
  reserve(chunk.rows);
  rows_ = chunk.rows;
  embed(weights, batch.token.data() + chunk.first_row, batch.position.data() + chunk.first_row);
  if (layout_.config.embedding_norm) {
    norm(layout_.embedding_norm, weights, embedded_.data(), embedding_);
    std::copy_n(embedding_.y.data(), rows_ * layout_.config.hidden_size, layer_input(0));
  }
  for (size_t i = 0; i < layers_.size(); ++i) {
    block(i, weights, transposed, batch, chunk, layer_input(i + 1));
  }
  if (layout_.config.final_norm) norm(layout_.final_norm, weights, top_.data(), final_);
  const int64_t ld = layout_.head.ld;
  linear(layout_.head, weights, transposed, last_input(), logits_.data(), ld, false);
  return logits_.data();
}

template <class T>
double DecoderPass<T>::forward(const T* weights, const T* transposed, const Batch& batch,
                               const Chunk& chunk, T scale) {
  logits(weights, transposed, batch, chunk);
  const MatrixSlot& head = layout_.head;
  ops_.cross_entropy(rows_, head.n, head.ld, batch.target.data() + chunk.first_row, scale,
                     logits_.data(), sum_.data(), gap_.data());
  double loss = 0;
  for (int64_t r = 0; r < rows_; ++r) loss += std::log(sum_[r]) + gap_[r];
  return loss;
}

template <class T>
void DecoderPass<T>::backward(const T* weights, const Batch& batch, const Chunk& chunk,
                              T* gradient) {
  NIBBLE_CHECK(rows_ == chunk.rows);
  const DecoderConfig& c = layout_.config;
  const MatrixSlot& head = layout_.head;
  T* below_head = c.final_norm ? dnarrow_.data() : dx_.data();
  linear_backward(head, weights, last_input(), logits_.data(), head.ld, below_head, gradient);
  if (c.final_norm) {
    norm_backward(layout_.final_norm, weights, top_.data(), final_, below_head, dx_.data(),
                  gradient, false);
  }
  for (size_t i = layers_.size(); i-- > 0;) block_backward(i, weights, batch, chunk, gradient);
  const T* dembedded = dx_.data();
  if (c.embedding_norm) {
    norm_backward(layout_.embedding_norm, weights, embedded_.data(), embedding_, dx_.data(),
                  dnarrow_.data(), gradient, false);
    dembedded = dnarrow_.data();
  }
  embed_backward(batch.token.data() + chunk.first_row, batch.position.data() + chunk.first_row,
                 dembedded, gradient);
}

template class DecoderPass<float>;
template class DecoderPass<double>;
template void transpose_weights(const ParamLayout&, const TrainOps<float>&, const float*, float*,
                                int64_t, int64_t);
template void transpose_weights(const ParamLayout&, const TrainOps<double>&, const double*, double*,
                                int64_t, int64_t);

}  // namespace nibble
