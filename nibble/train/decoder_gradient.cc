#include "nibble/train/decoder_gradient.h"

#include <algorithm>

namespace nibble {

template <class T>
DecoderGradient<T>::DecoderGradient(const DecoderConfig& config, std::span<const LayerPlan> plans,
                                    const TrainOps<T>& ops, bool recompute)
    : config_(config),
      ops_(ops),
      recompute_(recompute),
      head_(config, ops),
      norm_(config.norm, config.norm_eps, config.hidden_size) {
  const auto slopes = std::make_shared<StepSlopes<T>>();
  for (size_t i = 0; i < plans.size(); ++i) {
    const auto same = std::find_if(layers_.begin(), layers_.end(),
                                   [&](const auto& known) { return known->plan() == plans[i]; });
    const bool shared = recompute_ && same != layers_.end();
    layer_of_.push_back(shared ? static_cast<size_t>(same - layers_.begin()) : layers_.size());
    if (shared) continue;
    layers_.push_back(
        std::make_unique<LayerGradient<T>>(config, plans[i], static_cast<int>(i), ops, slopes));
  }
  if (recompute_) inputs_.resize(plans.size());
}

template <class T>
void DecoderGradient<T>::balance_experts(double coefficient) {
  balance_.coefficient = coefficient;
  for (const auto& layer : layers_) layer->balance(coefficient > 0 ? &balance_ : nullptr);
}

template <class T>
void DecoderGradient<T>::reserve(int64_t rows) {
  if (rows <= capacity_) return;
  capacity_ = round_up(rows, kTrainAlign);
  for (Buffer<T>* b : {&embedded_, &dx_, &dembedded_})
    *b = Buffer<T>(capacity_ * config_.hidden_size);
  for (Buffer<T>& b : inputs_) b = Buffer<T>(capacity_ * config_.hidden_size);
  if (config_.embedding_norm) norm_.reserve(capacity_);
}

template <class T>
void DecoderGradient<T>::look_up(const DecoderView<T>& w, int32_t token, T* to) {
  const int64_t width = config_.hidden_size;
  if (w.tokens != nullptr) {
    std::copy_n(w.tokens + token * width, width, to);
    return;
  }
  if (looked_up_.size() == 0) looked_up_ = Buffer<float>(width);
  std::copy_n(w.stored_tokens->read(token, 1, looked_up_.data()), width, to);
}

// Rows of tokens, times a scale where there is one, and of positions.
template <class T>
void DecoderGradient<T>::embed(const DecoderView<T>& w) {
  const int64_t width = config_.hidden_size;
  const T by = T(config_.embedding_scale);
  T* to = embedded_.data();
  for (size_t r = 0; r < token_.size(); ++r, to += width) {
    look_up(w, token_[r], to);
    for (int64_t i = 0; i < width && by != 1; ++i) to[i] *= by;
    if (w.positions != nullptr)
      ops_.add(width, w.positions + (config_.position_offset + position_[r]) * width, to);
  }
}

template <class T>
const T* DecoderGradient<T>::through_layers(const DecoderView<T>& w, const T* x) {
  balance_.begin();
  for (size_t i = 0; i < w.layers.size(); ++i) {
    if (recompute_) {
      std::copy_n(x, rows_ * config_.hidden_size, inputs_[i].data());
      x = inputs_[i].data();
    }
    x = layer(i).forward(w.layers[i], starts_, x);
  }
  return x;
}

template <class T>
void DecoderGradient<T>::back_through_layers(const DecoderView<T>& w,
                                             const DecoderSlopes<T>& into) {
  balance_.counting = false;
  for (size_t i = w.layers.size(); i-- > 0;) {
    if (recompute_) layer(i).forward(w.layers[i], starts_, inputs_[i].data());
    layer(i).backward(dx_.data(), {}, &into.layers[i]);
  }
}

// dx is overwritten.
template <class T>
void DecoderGradient<T>::embed_backward(const DecoderSlopes<T>& into, T* dx) {
  const int64_t width = config_.hidden_size;
  const T by = T(config_.embedding_scale);
  for (size_t r = 0; r < token_.size(); ++r, dx += width) {
    if (into.positions != nullptr)
      ops_.add(width, dx, into.positions + (config_.position_offset + position_[r]) * width);
    for (int64_t i = 0; i < width && by != 1; ++i) dx[i] *= by;
    if (into.tokens != nullptr) ops_.add(width, dx, into.tokens + token_[r] * width);
  }
}

// The residual stream behind the last layer.
template <class T>
const T* DecoderGradient<T>::forward(const DecoderView<T>& w, const Batch& batch,
                                     const Chunk& chunk) {
  reserve(chunk.rows);
  rows_ = chunk.rows;
  const auto first = static_cast<size_t>(chunk.first_row), rows = static_cast<size_t>(chunk.rows);
  token_ = std::span(batch.token).subspan(first, rows);
  position_ = std::span(batch.position).subspan(first, rows);
  starts_.clear();
  for (int64_t s = chunk.begin; s <= chunk.end; ++s)
    starts_.push_back(batch.starts[static_cast<size_t>(s)] - chunk.first_row);
  embed(w);
  const T* x = embedded_.data();
  if (config_.embedding_norm) x = norm_.forward(ops_, w.embedding_norm, rows_, x);
  return through_layers(w, x);
}

// From dx_, the gradient by what forward() gave.
template <class T>
void DecoderGradient<T>::backward(const DecoderView<T>& w, const DecoderSlopes<T>& into) {
  back_through_layers(w, into);
  if (!config_.embedding_norm) return embed_backward(into, dx_.data());
  norm_.backward(ops_, w.embedding_norm, dx_.data(), dembedded_.data(), into.embedding_norm, false);
  embed_backward(into, dembedded_.data());
}

template <class T>
double DecoderGradient<T>::run(const DecoderView<T>& w, const Batch& batch, const Chunk& chunk,
                               T scale, const DecoderSlopes<T>* into,
                               const TeacherRows<T>* teacher) {
  for (const auto& layer : layers_) layer->begin(into == nullptr ? -1 : chunk.first_row);
  const T* const x = forward(w, batch, chunk);
  const double loss = head_.run(w.head, rows_, x, batch.target.data() + chunk.first_row, scale,
                                dx_.data(), into == nullptr ? nullptr : &into->head, teacher);
  const auto targets = std::count_if(batch.target.begin() + chunk.first_row,
                                     batch.target.begin() + chunk.first_row + rows_,
                                     [](int32_t id) { return id >= 0; });
  balance_.scale = double{scale} * static_cast<double>(targets);
  if (into != nullptr) backward(w, *into);
  return loss;
}

template <class T>
std::span<const T> DecoderGradient<T>::logits(const DecoderView<T>& w, const Batch& batch,
                                              const Chunk& chunk) {
  const T* const x = forward(w, batch, chunk);
  return head_.logits(w.head, x + (rows_ - 1) * config_.hidden_size);
}

template class DecoderGradient<float>;
template class DecoderGradient<double>;

}  // namespace nibble
