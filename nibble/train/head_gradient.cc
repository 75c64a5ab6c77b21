#include "nibble/train/head_gradient.h"

#include <algorithm>
#include <cmath>

#include "nibble/core/error.h"
#include "nibble/core/float_formats.h"
#include "nibble/model/model_ends.h"
#include "nibble/train/rounded_inputs.h"
#include "nibble/train/soft_cap.h"

namespace nibble {
namespace {

constexpr int64_t kLogits = int64_t{1} << 22;  // of the rows that a thread works on together

int64_t rows_together(int64_t vocabulary, int64_t rows) {
  return std::clamp<int64_t>(kLogits / vocabulary, 1, rows);
}

// Not by way of a second copy in f32: with a wide vocabulary the head is what is largest.
Buffer<float> load(const Weight& w) {
  const Tensor plain = w.is_quantized() ? w.floats() : w.plain();
  Buffer<float> out(plain.elements());
  to_f32(plain, std::span(out.data(), static_cast<size_t>(plain.elements())));
  return out;
}

}  // namespace

HeadWeights::HeadWeights(const DecoderConfig& config, const ParameterFinder& find)
    : n(config.vocab_size),
      k(config.hidden_size),
      gain(buffer_of<float>(find.vector({Role::final_norm}))),
      bias(buffer_of<float>(find.vector({Role::final_norm, -1, -1, true}))),
      weight(load(config.tied ? find.table(Role::token_embedding)
                              : find.linear({Role::lm_head}).weight)) {
  find.done({config.tied ? Role::token_embedding : Role::lm_head});
}

HeadView<float> HeadWeights::view() const {
  return {{gain.data(), bias.data()}, {n, k, 0, weight.data(), nullptr, nullptr, nullptr}};
}

template <class T>
int64_t HeadGradient<T>::work_bytes(const DecoderConfig& config, int64_t rows) {
  // Logits, probabilities, and what oneDNN packs of them; the rows themselves.
  const int64_t each = bends_logits(config) ? 5 : 3;
  return rows_together(config.vocab_size, rows) *
         (each * config.vocab_size + 8 * config.hidden_size) * int64_t{sizeof(T)};
}

template <class T>
void HeadGradient<T>::reserve(int64_t rows, bool transposed) {
  const int64_t n = config_.vocab_size, k = config_.hidden_size;
  if (!transposed && columns_.size() < n * rows) columns_ = Buffer<T>(n * rows);
  if (rows <= capacity_) return;
  capacity_ = rows;
  norm_.reserve(rows);
  for (Buffer<T>* b : {&gradient_, &expected_, &turned_}) *b = Buffer<T>(rows * k);
  for (Buffer<T>* b : {&sum_, &gap_}) *b = Buffer<T>(rows);
  logits_ = Buffer<T>(rows * ld_);
  for (Buffer<T>* b : {&cap_slopes_, &weighted_})
    *b = Buffer<T>(bends_logits(config_) ? rows * ld_ : 0);
}

// What the matrix gives for rows of x; its padding columns are zeros.
template <class T>
void HeadGradient<T>::forward(const HeadView<T>& w, int64_t rows, const T* x) {
  const MatrixView<T>& m = w.matrix;
  reserve(rows, m.transposed != nullptr || m.narrow != nullptr);
  rows_ = rows;
  read_ = config_.final_norm ? norm_.forward(ops_, w.norm, rows, x) : x;
  if (m.inputs != nullptr && *m.inputs != ActivationType::none) {
    if (coded_.size() < rows * m.k) coded_ = Buffer<T>(rows * m.k);
    round_inputs(*m.inputs, rows, m.k, read_, coded_.data());
    read_ = coded_.data();
  }
  if (m.narrow != nullptr) return products_.forward(m, rows, read_, logits_.data(), false, ld_);
  if (m.transposed != nullptr)
    return ops_.product(
        {rows, ld_, m.k, read_, m.k, 1, m.transposed, m.ld, logits_.data(), ld_, false});
  ops_.transpose(rows, m.k, read_, turned_.data(), rows);
  multiply_turned(m);
  ops_.transpose(m.n, rows, columns_.data(), logits_.data(), ld_);
}

// columns = W turned, W as it lies.
template <class T>
void HeadGradient<T>::multiply_turned(const MatrixView<T>& m) {
  const auto multiply = [&](int64_t first, int64_t n, const T* rows_of_w) {
    ops_.product({n, rows_, m.k, rows_of_w, m.k, 1, turned_.data(), rows_,
                  columns_.data() + first * rows_, rows_, false});
  };
  if (m.stored == nullptr) return multiply(0, m.n, m.weight);
  stored_.for_each_tile(*m.stored, m.k, multiply);
}

template <class T>
void HeadGradient<T>::cap() {
  if (!bends_logits(config_)) return;
  const T scale = T(config_.logit_scale);
  for (int64_t i = 0; i < rows_ * ld_; ++i) logits_[i] *= scale;
  std::fill_n(cap_slopes_.data(), rows_ * ld_, scale);
  if (config_.final_softcap == 0) return;
  for (int64_t i = 0; i < rows_ * ld_; i += ld_)
    soft_cap(T(config_.final_softcap), config_.vocab_size, logits_.data() + i,
             cap_slopes_.data() + i);
  for (int64_t i = 0; i < rows_ * ld_; ++i) cap_slopes_[i] *= scale;
}

// dx, and the gradients of weights, from those of logits.
template <class T>
void HeadGradient<T>::backward(const HeadView<T>& w, T* dx, const HeadSlopes<T>& into) {
  const MatrixView<T>& m = w.matrix;
  const T* const dy = logits_.data();
  T* const below = config_.final_norm ? gradient_.data() : dx;
  products_.weights(m, rows_, read_, dy, into.matrix, ld_);
  products_.backward(m, rows_, dy, below, false, ld_);
  if (config_.final_norm) norm_.backward(ops_, w.norm, below, dx, into.norm, false);
}

// Logits become the gradient of scale times the sum of the labels' losses, which is returned.
template <class T>
double HeadGradient<T>::learn_labels(const int32_t* targets, T scale) {
  const int64_t n = config_.vocab_size;
  labels_.assign(targets, targets + rows_);
  for (int32_t& label : labels_) label = std::max(label, 0);
  ops_.cross_entropy(rows_, n, ld_, labels_.data(), scale, logits_.data(), sum_.data(),
                     gap_.data());
  double loss = 0;
  for (int64_t r = 0; r < rows_; ++r) {
    if (targets[r] >= 0)
      loss += std::log(sum_[r]) + gap_[r];
    else
      std::fill_n(logits_.data() + r * ld_, n, T{0});
  }
  label_loss_ += loss;
  return loss;
}

// The same of share KL(teacher || student) + (1 - share) of the labels' losses. By the logits of
// the student, z: KL = sum p log p - sum p z + log sum exp z, its gradient softmax(z) - p; the
// label is one more distribution.
template <class T>
double HeadGradient<T>::learn_teacher(const int32_t* targets, T scale,
                                      const TeacherRows<T>& teacher, int64_t first) {
  const int64_t n = config_.vocab_size;
  HeadGradient& theirs = *teacher.head;
  theirs.forward(*teacher.weights, rows_, teacher.x + first * teacher.width);
  theirs.cap();
  double loss = 0;
  for (int64_t r = 0; r < rows_; ++r) {
    T *const z = logits_.data() + r * ld_, *const t = theirs.logits_.data() + r * ld_;
    if (targets[r] >= 0)
      loss += learn_row(targets[r], scale, teacher.share, t, z);
    else
      std::fill_n(z, n, T{0});
  }
  return loss;
}

// Of one row, from the logits t of the teacher, which become its probabilities.
template <class T>
double HeadGradient<T>::learn_row(int32_t target, T scale, double share, T* t, T* z) {
  const int64_t n = config_.vocab_size;
  spoken_.assign(t, t + n);
  const T own = z[target], given = t[target];
  T sum, gap;
  ops_.cross_entropy(1, n, ld_, &target, T{1}, t, &sum, &gap);
  t[target] += T{1};
  const double their_norm = std::log(double{sum}) + double{gap} + double{given};
  double known = 0;
  for (int64_t i = 0; i < n; ++i)
    known += double{t[i]} * double{spoken_[static_cast<size_t>(i)] - z[i]};
  ops_.cross_entropy(1, n, ld_, &target, scale, z, &sum, &gap);
  const double label = std::log(double{sum}) + double{gap};
  label_loss_ += label;
  // cross_entropy() has taken scale * onehot(target) off: the teacher's share of that comes back.
  z[target] += scale * T(share);
  for (int64_t i = 0; i < n; ++i) z[i] -= scale * T(share) * t[i];
  return share * (known - their_norm + label + double{own}) + (1 - share) * label;
}

template <class T>
double HeadGradient<T>::run(const HeadView<T>& w, int64_t rows, const T* x, const int32_t* targets,
                            T scale, T* dx, const HeadSlopes<T>* into,
                            const TeacherRows<T>* teacher) {
  const int64_t n = config_.vocab_size, k = config_.hidden_size, most = rows_together(n, rows);
  double loss = 0;
  label_loss_ = 0;
  for (int64_t first = 0; first < rows; first += most) {
    forward(w, std::min(most, rows - first), x + first * k);
    cap();
    loss += teacher == nullptr ? learn_labels(targets + first, scale)
                               : learn_teacher(targets + first, scale, *teacher, first);
    if (into == nullptr) continue;
    for (int64_t i = 0; i < rows_ * ld_ && bends_logits(config_); ++i) logits_[i] *= cap_slopes_[i];
    backward(w, dx + first * k, *into);
  }
  return loss;
}

template <class T>
std::span<const T> HeadGradient<T>::logits(const HeadView<T>& w, const T* x) {
  forward(w, 1, x);
  cap();
  return {logits_.data(), static_cast<size_t>(config_.vocab_size)};
}

// Logits become the probabilities p; expected = p W, behind a softcap its slopes times p.
template <class T>
void HeadGradient<T>::expect(const HeadView<T>& w) {
  const int64_t n = config_.vocab_size, k = config_.hidden_size;
  for (int64_t r = 0; r < rows_; ++r) {
    const T* const row = logits_.data() + r * ld_;
    if (!std::all_of(row, row + n, [](T v) { return std::isfinite(v); }))
      throw corrupt("the model's outputs are not finite: its gradients cannot be computed");
  }
  cap();
  for (int64_t r = 0; r < rows_; ++r) ops_.softmax(n, T{1}, logits_.data() + r * ld_);
  const bool capped = bends_logits(config_);
  for (int64_t i = 0; i < rows_ * ld_ && capped; ++i) weighted_[i] = logits_[i] * cap_slopes_[i];
  const T* const by = (capped ? weighted_ : logits_).data();
  ops_.product({rows_, k, n, by, ld_, 1, w.matrix.weight, k, expected_.data(), k, false});
}

// dL/d(logits) = p - onehot(label), so that by what the head reads it is p W - W[label]; a
// softcap's slope stands before each row of W.
template <class T>
void HeadGradient<T>::gradient_of_label(const HeadView<T>& w, int64_t row, int32_t label) {
  const int64_t k = config_.hidden_size;
  const T *const expected = expected_.data() + row * k, *const own = w.matrix.weight + label * k;
  const T slope = bends_logits(config_) ? cap_slopes_[row * ld_ + label] : T{1};
  T* const to = gradient_.data() + row * k;
  for (int64_t i = 0; i < k; ++i) to[i] = expected[i] - slope * own[i];
}

template <class T>
void HeadGradient<T>::draw(const HeadView<T>& w, int64_t rows, const T* x, int draws,
                           const LabelChoice<T>& choose, T* out) {
  const int64_t n = config_.vocab_size, k = config_.hidden_size, most = rows_together(n, rows);
  for (int64_t first = 0; first < rows; first += most) {
    forward(w, std::min(most, rows - first), x + first * k);
    expect(w);
    for (int draw = 0; draw < draws; ++draw) {
      for (int64_t r = 0; r < rows_; ++r) {
        const std::span p(logits_.data() + r * ld_, static_cast<size_t>(n));
        gradient_of_label(w, r, choose(first + r, draw, p));
      }
      T* const to = out + (draw * rows + first) * k;
      if (config_.final_norm)
        norm_.backward(ops_, w.norm, gradient_.data(), to, {}, false);
      else
        std::copy_n(gradient_.data(), rows_ * k, to);
    }
  }
}

template class HeadGradient<float>;
template class HeadGradient<double>;

int32_t draw_label(std::span<const float> p, double u) {
  double total = 0, sum = 0;
  for (const float v : p) total += v;
  for (size_t i = 0; i < p.size(); ++i) {
    sum += p[i];
    if (sum > u * total) return static_cast<int32_t>(i);
  }
  return static_cast<int32_t>(std::max_element(p.begin(), p.end()) - p.begin());
}

}  // namespace nibble
