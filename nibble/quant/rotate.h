// Rotations of a space of any width: random signs, then a Hadamard transform over its power of two
// and a cosine transform over what is left. R = D (H (x) C) is orthogonal, takes width * log(width)
// operations, and spreads what one channel holds over all of them (Ashkboos et al. 2024, QuaRot,
// section 3, which needs a Hadamard matrix of the width itself).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace nibble {

class Rotation {
 public:
  /// The signs depend on the seed alone. Error{invalid_argument} for a width below 1.
  Rotation(int64_t width, uint64_t seed);
  int64_t width() const { return static_cast<int64_t>(signs_.size()); }
  /// row [width] = row R.
  void apply(std::span<float> row) const;

 private:
  std::vector<float> signs_, cosine_;
  int64_t power_ = 1, rest_ = 1;
};

}  // namespace nibble
