#include "nibble/train/mlp_pass.h"

#include <fmt/format.h>

#include <cmath>

#include "nibble/core/error.h"

namespace nibble {

MlpLayout make_layout(const MlpConfig& config) {
  const bool sized = config.sizes.size() >= 2 && config.sizes.size() <= 64;
  if (!sized) throw invalid_argument("an MLP needs 2 to 64 sizes: inputs, hidden layers, outputs");
  for (int64_t size : config.sizes) {
    if (size >= 1 && size <= 1 << 20) continue;
    throw invalid_argument(
        fmt::format("MLP sizes must be between 1 and {} (got {})", 1 << 20, size));
  }
  MlpLayout out;
  out.config = config;
  out.table = parameter_table(config);
  out.place([](const ParamSpec&) { return false; });
  for (size_t i = 0; i + 1 < config.sizes.size(); ++i) {
    MatrixSlot slot{
        out.offsets[2 * i], out.offsets[2 * i + 1], config.sizes[i + 1], config.sizes[i], -1, 0};
    out.add_product(slot);
  }
  return out;
}

template <class T>
void MlpPass<T>::reserve(int64_t rows) {
  if (rows <= capacity_) return;
  capacity_ = rows;
  activations_.clear();
  slopes_.clear();
  for (int64_t size : layout_.config.sizes) {
    activations_.emplace_back(rows * size);
    slopes_.emplace_back(slopes_.empty() ? 0 : rows * size);
  }
  sum_ = Buffer<T>(rows);
  gap_ = Buffer<T>(rows);
}

template <class T>
void MlpPass<T>::forward(const T* weights, const T* transposed, int64_t rows) {
  for (size_t i = 0; i < layout_.products.size(); ++i) {
    const MatrixSlot& m = layout_.products[i];
    T* y = activations_[i + 1].data();
    ops_.product({rows, m.n, m.k, activations_[i].data(), m.k, 1, transposed + m.transposed, m.ld,
                  y, m.n, false});
    ops_.add_bias(rows, m.n, weights + m.bias, y);
    if (i + 1 < layout_.products.size()) ops_.relu(rows * m.n, y, y);
  }
}

template <class T>
void MlpPass<T>::backward(const T* weights, int64_t rows, T* gradient) {
  const T* dy = activations_.back().data();  // cross_entropy left the gradient there
  for (size_t i = layout_.products.size(); i-- > 0;) {
    const MatrixSlot& m = layout_.products[i];
    const T* x = activations_[i].data();
    ops_.product({m.n, m.k, rows, dy, 1, m.n, x, m.k, gradient + m.weight, m.k, true});
    ops_.bias_backward(rows, m.n, dy, gradient + m.bias);
    if (i == 0) return;
    T* dx = slopes_[i].data();
    ops_.product({rows, m.k, m.n, dy, m.n, 1, weights + m.weight, m.k, dx, m.k, false});
    ops_.relu_backward(rows * m.k, x, dx, dx);
    dy = dx;
  }
}

template <class T>
double MlpPass<T>::run(const T* weights, const T* transposed, int64_t rows, const int32_t* targets,
                       T scale, T* gradient) {
  NIBBLE_CHECK(rows <= capacity_);
  forward(weights, transposed, rows);
  const int64_t classes = layout_.config.sizes.back();
  ops_.cross_entropy(rows, classes, classes, targets, scale, activations_.back().data(),
                     sum_.data(), gap_.data());
  double loss = 0;
  for (int64_t r = 0; r < rows; ++r) loss += std::log(sum_[r]) + gap_[r];
  backward(weights, rows, gradient);
  return loss;
}

template class MlpPass<float>;
template class MlpPass<double>;

}  // namespace nibble
