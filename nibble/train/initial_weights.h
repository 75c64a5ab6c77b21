// The weights a run begins with.
#pragma once

#include "nibble/core/random.h"
#include "nibble/train/layout.h"

namespace nibble {

/// Weights N(0, std) drawn in table order, row by row (as microgpt.py draws them); gains 1, biases
/// 0. `flat` has layout.size elements, zeroed.
template <class T>
void draw_weights(const FlatLayout& layout, double std, PyRandom& random, T* flat) {
  for (size_t i = 0; i < layout.table.size(); ++i) {
    const ParamSpec& p = layout.table[i];
    T* out = flat + layout.offsets[i];
    const int64_t n = p.shape.elements();
    if (is_weight(p)) {
      for (int64_t j = 0; j < n; ++j) out[j] = static_cast<T>(random.gauss(0, std));
    } else if (!p.bias) {
      for (int64_t j = 0; j < n; ++j) out[j] = T{1};
    }
  }
}

}  // namespace nibble
