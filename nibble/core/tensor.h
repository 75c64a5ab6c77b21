// Tensor: a dtype, a shape and bytes, row-major. The bytes are owned together with whoever else
// holds them, or lie in a mapped file that is kept alive for as long as a Tensor points into it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "nibble/core/dtype.h"
#include "nibble/core/error.h"

namespace nibble {

/// Extents, outermost first. An empty Shape is a scalar with one element.
class Shape {
 public:
  Shape() = default;
  Shape(std::initializer_list<int64_t> dims) : dims_(dims) {}
  explicit Shape(std::vector<int64_t> dims) : dims_(std::move(dims)) {}

  size_t rank() const { return dims_.size(); }
  int64_t operator[](size_t i) const { return dims_[i]; }
  std::span<const int64_t> dims() const { return dims_; }
  /// The product of the extents; throws Error{corrupt} where an extent is negative or the product
  /// overflows.
  int64_t elements() const;
  /// "[27, 16]"
  std::string to_string() const;
  bool operator==(const Shape&) const = default;

 private:
  std::vector<int64_t> dims_;
};

/// Shared bytes: `owner` keeps `data` alive (a heap block, a mapped file).
struct Storage {
  std::shared_ptr<const void> owner;
  std::byte* data = nullptr;
  size_t size = 0;
};

class Tensor {
 public:
  Tensor() = default;
  /// A new tensor, zeroed, 64-byte aligned.
  Tensor(DType dtype, Shape shape);
  /// A view of bytes that someone else owns; throws Error{corrupt} where `size` is not what the
  /// shape needs. Mapped bytes are read-only: callers of a mapped tensor never write through
  /// mutable_data().
  Tensor(DType dtype, Shape shape, Storage storage);
  template <class T>
  static Tensor from(Shape shape, std::span<const T> values);

  DType dtype() const { return dtype_; }
  const Shape& shape() const { return shape_; }
  int64_t elements() const { return elements_; }
  /// Bytes of the elements.
  size_t bytes() const {
    return static_cast<size_t>(elements_) * static_cast<size_t>(size_of(dtype_));
  }
  bool empty() const { return storage_.data == nullptr; }

  const std::byte* raw() const { return storage_.data; }
  std::byte* mutable_raw() { return storage_.data; }
  /// The elements as T, which must be the tensor's own type (checked).
  template <class T>
  std::span<const T> data() const;
  template <class T>
  std::span<T> mutable_data();
  /// The same bytes under another shape with as many elements.
  Tensor reshaped(Shape shape) const;
  /// A copy of the bytes in memory of its own.
  Tensor clone() const;

 private:
  DType dtype_ = DType::f32;
  Shape shape_{0};
  int64_t elements_ = 0;
  Storage storage_;
};

/// What a file says of a tensor before its bytes are touched.
struct TensorInfo {
  std::string name;
  DType dtype = DType::f32;
  Shape shape;
};

template <class T>
std::span<const T> Tensor::data() const {
  NIBBLE_CHECK(dtype_of<T>() == dtype_);
  return {reinterpret_cast<const T*>(storage_.data), static_cast<size_t>(elements_)};
}

template <class T>
std::span<T> Tensor::mutable_data() {
  NIBBLE_CHECK(dtype_of<T>() == dtype_);
  return {reinterpret_cast<T*>(storage_.data), static_cast<size_t>(elements_)};
}

template <class T>
Tensor Tensor::from(Shape shape, std::span<const T> values) {
  Tensor out(dtype_of<T>(), std::move(shape));
  NIBBLE_CHECK(static_cast<size_t>(out.elements()) == values.size());
  std::copy(values.begin(), values.end(), out.mutable_data<T>().begin());
  return out;
}

}  // namespace nibble
