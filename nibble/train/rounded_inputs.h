// Fake quantization of inputs: rows as the products of a8 and a8full read them (nn/input_coding.h),
// each by a scale of its own. The gradient goes straight through: nothing of a row lies beyond.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "nibble/quant/scheme.h"

namespace nibble {

/// Whether training knows how to round inputs so.
inline bool rounds_inputs(ActivationType type) {
  return type == ActivationType::a8 || type == ActivationType::a8_full;
}

/// out = what the codes of x [rows, k] stand for.
template <class T>
void round_inputs(ActivationType type, int64_t rows, int64_t k, const T* x, T* out) {
  const bool full = type == ActivationType::a8_full;
  const T low = full ? T{-128} : T{-127}, parts = full ? T(127.5) : T{127};
  for (int64_t r = 0; r < rows; ++r, x += k, out += k) {
    T most = 0;
    for (int64_t i = 0; i < k; ++i) most = std::max(most, std::fabs(x[i]));
    const T scale = most / parts;
    for (int64_t i = 0; i < k; ++i) {
      const T code = scale > 0 ? std::nearbyint(std::clamp(x[i] / scale, low, T{127})) : T{0};
      out[i] = code * scale;
    }
  }
}

}  // namespace nibble
