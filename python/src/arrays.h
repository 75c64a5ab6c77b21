// What the library gives in vectors, as arrays of numpy in the same memory.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <cstdint>
#include <utility>
#include <vector>

namespace nibble::python {

template <class T>
using Array = nanobind::ndarray<nanobind::numpy, T>;

/// Row-major; the array owns the values from then on.
template <class T>
Array<T> to_numpy(std::vector<T> values, const std::vector<int64_t>& shape) {
  auto* held = new std::vector<T>(std::move(values));
  const nanobind::capsule owner(held,
                                [](void* p) noexcept { delete static_cast<std::vector<T>*>(p); });
  const std::vector<size_t> extents(shape.begin(), shape.end());
  return Array<T>(held->data(), extents.size(), extents.data(), owner);
}

}  // namespace nibble::python
