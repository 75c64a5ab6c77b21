#include "nibble/train/low_rank_product.h"

#include <algorithm>
#include <cmath>

namespace nibble {
namespace {

// SplitMix64's finalizer (Steele et al. 2014).
uint64_t mixed(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

constexpr uint64_t kGolden = 0x9e3779b97f4a7c15;
constexpr int64_t kLanes = 4;  // columns that share a hash, 16 bits each

template <class T>
void grow(Buffer<T>& buffer, int64_t size) {
  if (buffer.size() < size) buffer = Buffer<T>(size);
}

}  // namespace

// f(where in [rows, k], the factor of that input).
template <class T>
template <class F>
void LowRankProducts<T>::for_each_kept(const LowRankView<T>& w, int64_t rows, F f) const {
  const LowRankDropout& d = *w.dropout;
  const auto limit = static_cast<uint32_t>(std::lround(d.share * 65536));
  const T factor = T(1 / (1 - d.share));
  const uint64_t key =
      mixed(mixed(mixed(d.seed + kGolden) + static_cast<uint64_t>(d.step)) + w.number * kGolden);
  for (int64_t row = 0; row < rows; ++row) {
    const uint64_t row_key = mixed(key + static_cast<uint64_t>(first_row_ + row) * kGolden);
    for (int64_t c = 0; c < w.k; c += kLanes) {
      uint64_t bits = mixed(row_key + static_cast<uint64_t>(c) * kGolden);
      const int64_t end = std::min(c + kLanes, w.k);
      for (int64_t i = c; i < end; ++i, bits >>= 16)
        f(row * w.k + i, (bits & 0xffff) < limit ? T{0} : factor);
    }
  }
}

template <class T>
const T* LowRankProducts<T>::read(const LowRankView<T>& w, int64_t rows, const T* x) {
  if (!drops(w)) return x;
  grow(wide_, rows * w.k);
  for_each_kept(w, rows, [&](int64_t i, T factor) { wide_[i] = factor * x[i]; });
  return wide_.data();
}

// thin = s x A^T
template <class T>
void LowRankProducts<T>::down(const LowRankView<T>& w, int64_t rows, const T* x) {
  grow(thin_, rows * w.r);
  ops_.product({rows, w.r, w.k, x, w.k, 1, w.a_transposed, w.a_ld, thin_.data(), w.r, false});
  for (int64_t i = 0; i < rows * w.r; ++i) thin_[i] *= w.scale;
}

// thin_slopes = s dy B
template <class T>
void LowRankProducts<T>::down_slopes(const LowRankView<T>& w, int64_t rows, const T* dy,
                                     int64_t ld) {
  grow(thin_slopes_, rows * w.r);
  ops_.product({rows, w.r, w.n, dy + w.first, ld, 1, w.b, w.r, thin_slopes_.data(), w.r, false});
  for (int64_t i = 0; i < rows * w.r; ++i) thin_slopes_[i] *= w.scale;
}

template <class T>
void LowRankProducts<T>::forward(const LowRankView<T>& w, int64_t rows, const T* x, T* y,
                                 int64_t ld) {
  down(w, rows, read(w, rows, x));
  ops_.product(
      {rows, w.n, w.r, thin_.data(), w.r, 1, w.b_transposed, w.b_ld, y + w.first, ld, true});
}

template <class T>
void LowRankProducts<T>::backward(const LowRankView<T>& w, int64_t rows, const T* dy, int64_t ld,
                                  T* dx) {
  down_slopes(w, rows, dy, ld);
  const bool apart = drops(w);
  if (apart) grow(wide_, rows * w.k);
  T* const to = apart ? wide_.data() : dx;
  ops_.product({rows, w.k, w.r, thin_slopes_.data(), w.r, 1, w.a, w.k, to, w.k, !apart});
  if (apart) for_each_kept(w, rows, [&](int64_t i, T factor) { dx[i] += factor * wide_[i]; });
}

template <class T>
void LowRankProducts<T>::weights(const LowRankView<T>& w, int64_t rows, const T* x, const T* dy,
                                 int64_t ld, T* gradient) {
  const T* const kept = read(w, rows, x);
  down(w, rows, kept);
  down_slopes(w, rows, dy, ld);
  ops_.product(
      {w.r, w.k, rows, thin_slopes_.data(), 1, w.r, kept, w.k, gradient + w.a_slope, w.k, true});
  ops_.product(
      {w.n, w.r, rows, dy + w.first, 1, ld, thin_.data(), w.r, gradient + w.b_slope, w.r, true});
}

template class LowRankProducts<float>;
template class LowRankProducts<double>;

}  // namespace nibble
