#include "nibble/train/stored_matrix.h"

#include <type_traits>

namespace nibble {

void StoredMatrix::add(const Weight& weight, int64_t first, int64_t rows) {
  const int64_t begin = this->rows();
  parts_.push_back({&weight, begin, begin + rows, first});
}

// Null where they are not floats in one piece, or where nothing may be read behind them.
const float* StoredMatrix::in_place(int64_t first, int64_t count) const {
  for (const Part& p : parts_) {
    if (first < p.first || first + count > p.end) continue;
    const Weight& w = *p.weight;
    if (w.is_quantized() || w.plain().dtype() != DType::f32) return nullptr;
    const int64_t k = w.columns(), row = p.from + first - p.first;
    const bool slack = (w.rows() - row - count) * k >= kTrainSlack;
    return slack ? w.plain().data<float>().data() + row * k : nullptr;
  }
  return nullptr;
}

const float* StoredMatrix::read(int64_t first, int64_t count, float* to) const {
  if (const float* const there = in_place(first, count)) return there;
  float* out = to;
  for (const Part& p : parts_) {
    const auto k = static_cast<size_t>(p.weight->columns());
    const int64_t end = std::min(p.end, first + count);
    for (int64_t row = std::max(p.first, first); row < end; ++row, out += k)
      p.weight->row(p.from + row - p.first, std::span(out, k));
  }
  return to;
}

int64_t rows_of_tile(int64_t n, int64_t k) {
  constexpr int64_t kFloats = int64_t{1} << 18, kMost = 512;
  return std::min(n, std::clamp(kFloats / k / kTrainAlign * kTrainAlign, kTrainAlign, kMost));
}

template <class T>
const T* StoredProducts<T>::of_type(const float* tile, int64_t size) {
  if constexpr (std::is_same_v<T, float>) {
    return tile;
  } else {
    if (converted_.size() < size) converted_ = Buffer<T>(size);
    std::copy_n(tile, size, converted_.data());
    return converted_.data();
  }
}

template <class T>
void StoredProducts<T>::forward(const StoredMatrix& w, int64_t k, int64_t rows, const T* x, T* y,
                                int64_t ld, bool accumulate) {
  for_each_tile(w, k, [&](int64_t first, int64_t count, const T* tile) {
    const int64_t columns = round_up(count, kTrainAlign);
    if (transposed_.size() < columns * k) transposed_ = Buffer<T>(columns * k);
    ops_.transpose(count, k, tile, transposed_.data(), columns);
    ops_.product({rows, count, k, x, k, 1, transposed_.data(), columns, y + first, ld, accumulate});
  });
}

template <class T>
void StoredProducts<T>::backward(const StoredMatrix& w, int64_t k, int64_t rows, const T* dy,
                                 int64_t ld, T* dx, bool accumulate) {
  for_each_tile(w, k, [&](int64_t first, int64_t count, const T* tile) {
    ops_.product({rows, k, count, dy + first, ld, 1, tile, k, dx, k, accumulate || first > 0});
  });
}

template class StoredProducts<float>;
template class StoredProducts<double>;

}  // namespace nibble
