#include "nibble/train/matrix_product.h"

#include <algorithm>
#include <type_traits>

#include "nibble/core/error.h"
#include "nibble/kernels/layer.h"
#include "nibble/kernels/onednn/product_bf16.h"
#include "nibble/train/rounded_inputs.h"

namespace nibble {

template <class T>
Buffer<T> buffer_of(std::span<const float> values) {
  if (values.empty()) return {};
  Buffer<T> out(std::ssize(values));
  std::copy(values.begin(), values.end(), out.begin());
  return out;
}

template <class T>
MatrixView<T> TrainMatrix<T>::view() const {
  const auto at = [](const auto& b) { return b.size() == 0 ? nullptr : b.data(); };
  return {n, k, ld, at(weight), at(transposed), at(narrow), at(bias)};
}

template <class T>
TrainMatrix<T> make_matrix(std::span<const float> weight, std::span<const float> bias, int64_t n,
                           bool narrow, const TrainOps<T>& ops) {
  TrainMatrix<T> out;
  out.n = n;
  out.k = std::ssize(weight) / n;
  out.bias = buffer_of<T>(bias);
  if (narrow) {
    NIBBLE_CHECK((std::is_same_v<T, float>));
    out.narrow.resize(weight.size());
    best_layer_ops().to_bf16(weight.data(), std::ssize(weight), out.narrow.data());
    return out;
  }
  out.ld = round_up(n, kTrainAlign);
  out.weight = buffer_of<T>(weight);
  out.transposed = Buffer<T>(out.k * out.ld);
  ops.transpose(n, out.k, out.weight.data(), out.transposed.data(), out.ld);
  return out;
}

template <class T>
const uint16_t* MatrixProducts<T>::round(const float* x, int64_t size, std::vector<uint16_t>& to) {
  to.resize(std::max(to.size(), static_cast<size_t>(size)));
  best_layer_ops().to_bf16(x, size, to.data());
  return to.data();
}

template <class T>
const T* MatrixProducts<T>::read(const MatrixView<T>& w, int64_t rows, const T* x) {
  if (w.inputs == nullptr || *w.inputs == ActivationType::none) return x;
  if (inputs_.size() < rows * w.k) inputs_ = Buffer<T>(rows * w.k);
  round_inputs(*w.inputs, rows, w.k, x, inputs_.data());
  return inputs_.data();
}

template <class T>
void MatrixProducts<T>::forward(const MatrixView<T>& w, int64_t rows, const T* x, T* y,
                                bool accumulate, int64_t ld) {
  if (ld == 0) ld = w.n;
  x = read(w, rows, x);
  if (w.stored != nullptr) {
    stored_.forward(*w.stored, w.k, rows, x, y, ld, accumulate);
  } else if (w.narrow == nullptr) {
    ops_.product({rows, w.n, w.k, x, w.k, 1, w.transposed, w.ld, y, ld, accumulate});
  } else if constexpr (std::is_same_v<T, float>) {
    onednn_product(Bf16Product{rows, w.n, w.k, round(x, rows * w.k, x_), w.k, 1, w.narrow, 1, w.k,
                               y, ld, accumulate});
  }
  if (w.bias != nullptr) ops_.add_bias(rows, w.n, w.bias, y);
  for (const LowRankView<T>& added : w.added) added_.forward(added, rows, x, y, ld);
}

template <class T>
void MatrixProducts<T>::backward(const MatrixView<T>& w, int64_t rows, const T* dy, T* dx,
                                 bool accumulate, int64_t ld) {
  if (ld == 0) ld = w.n;
  if (w.stored != nullptr) {
    stored_.backward(*w.stored, w.k, rows, dy, ld, dx, accumulate);
  } else if (w.narrow == nullptr) {
    ops_.product({rows, w.k, w.n, dy, ld, 1, w.weight, w.k, dx, w.k, accumulate});
  } else if constexpr (std::is_same_v<T, float>) {
    onednn_product(Bf16Product{rows, w.k, w.n, round(dy, rows * ld, y_), ld, 1, w.narrow, w.k, 1,
                               dx, w.k, accumulate});
  }
  for (const LowRankView<T>& added : w.added) added_.backward(added, rows, dy, ld, dx);
}

template <class T>
void MatrixProducts<T>::weights(const MatrixView<T>& w, int64_t rows, const T* x, const T* dy,
                                const MatrixSlope<T>& to, int64_t ld) {
  if (ld == 0) ld = w.n;
  if (to.bias != nullptr) ops_.bias_backward(rows, w.n, dy, to.bias);
  if (to.added != nullptr)
    for (const LowRankView<T>& added : w.added) added_.weights(added, rows, x, dy, ld, to.added);
  if (to.weight == nullptr) return;
  x = read(w, rows, x);
  if (w.narrow == nullptr) {
    ops_.product({w.n, w.k, rows, dy, 1, ld, x, w.k, to.weight, w.k, true});
  } else if constexpr (std::is_same_v<T, float>) {
    onednn_product(Bf16Product{w.n, w.k, rows, round(dy, rows * ld, y_), 1, ld,
                               round(x, rows * w.k, x_), w.k, 1, to.weight, w.k, true});
  }
}

template struct TrainMatrix<float>;
template struct TrainMatrix<double>;
template class MatrixProducts<float>;
template class MatrixProducts<double>;
template Buffer<float> buffer_of(std::span<const float>);
template Buffer<double> buffer_of(std::span<const float>);
template TrainMatrix<float> make_matrix(std::span<const float>, std::span<const float>, int64_t,
                                        bool, const TrainOps<float>&);
template TrainMatrix<double> make_matrix(std::span<const float>, std::span<const float>, int64_t,
                                         bool, const TrainOps<double>&);

}  // namespace nibble
