// Lanes: the same column of several rows side by side, in plain loops that become vector code.
#pragma once

#include <cstdint>

#include "nibble/kernels/rounding.h"

namespace nibble {

inline constexpr int64_t kLanes = kRoundingLanes;

struct Lanes {
  alignas(64) float x[kLanes];

  /// this += v * s
  void add_scaled(const Lanes& v, float s) {
    for (int64_t l = 0; l < kLanes; ++l) x[l] += v.x[l] * s;
  }
};

}  // namespace nibble
