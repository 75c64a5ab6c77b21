#include "nibble/quant/rotate.h"

#include <fmt/format.h>

#include <cmath>
#include <numbers>

#include "nibble/core/error.h"
#include "nibble/core/random.h"

namespace nibble {
namespace {

// The orthonormal DCT-II of size n: [n, n].
std::vector<float> cosine_matrix(int64_t n) {
  std::vector<float> out;
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      const double norm = std::sqrt((j == 0 ? 1.0 : 2.0) / static_cast<double>(n));
      const double angle = std::numbers::pi * (static_cast<double>(i) + 0.5) *
                           static_cast<double>(j) / static_cast<double>(n);
      out.push_back(static_cast<float>(norm * std::cos(angle)));
    }
  }
  return out;
}

// In place over x[0], x[stride], ..., count of them, a power of two; not normalized.
void hadamard(float* x, int64_t count, int64_t stride) {
  for (int64_t half = 1; half < count; half *= 2) {
    for (int64_t begin = 0; begin < count; begin += 2 * half) {
      for (int64_t i = begin; i < begin + half; ++i) {
        float &a = x[i * stride], &b = x[(i + half) * stride];
        const float sum = a + b, difference = a - b;
        a = sum;
        b = difference;
      }
    }
  }
}

}  // namespace

Rotation::Rotation(int64_t width, uint64_t seed) {
  if (width < 1) throw invalid_argument(fmt::format("a rotation of width {}", width));
  PyRandom random(seed);
  for (int64_t i = 0; i < width; ++i) signs_.push_back(random.random() < 0.5 ? -1.0F : 1.0F);
  for (rest_ = width; rest_ % 2 == 0; rest_ /= 2) power_ *= 2;
  cosine_ = cosine_matrix(rest_);
}

void Rotation::apply(std::span<float> row) const {
  NIBBLE_CHECK(row.size() == signs_.size());
  for (size_t i = 0; i < row.size(); ++i) row[i] *= signs_[i];
  for (int64_t j = 0; j < rest_; ++j) hadamard(row.data() + j, power_, rest_);
  const float norm = 1 / std::sqrt(static_cast<float>(power_));
  std::vector<float> part(static_cast<size_t>(rest_));
  for (int64_t block = 0; block < power_; ++block) {
    float* const x = row.data() + block * rest_;
    for (int64_t j = 0; j < rest_; ++j) {
      float sum = 0;
      for (int64_t i = 0; i < rest_; ++i) sum += x[i] * cosine_[static_cast<size_t>(i * rest_ + j)];
      part[static_cast<size_t>(j)] = sum * norm;
    }
    for (int64_t j = 0; j < rest_; ++j) x[j] = part[static_cast<size_t>(j)];
  }
}

}  // namespace nibble
