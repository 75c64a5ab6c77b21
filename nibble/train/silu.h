// The logistic function, x times it, and that one's slope.
#pragma once

#include <cmath>

namespace nibble {

template <class T>
T logistic(T x) {
  return 1 / (1 + std::exp(-x));
}
template <class T>
T silu(T x) {
  return x * logistic(x);
}
template <class T>
T silu_slope(T x) {
  const T s = logistic(x);
  return s * (1 + x * (1 - s));
}

}  // namespace nibble
