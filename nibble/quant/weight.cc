#include "nibble/quant/weight.h"

#include <utility>

#include "nibble/core/error.h"
#include "nibble/core/float_formats.h"

namespace nibble {
namespace {

int64_t extent(const Shape& shape, size_t axis) {
  if (shape.rank() != 2)
    throw corrupt("expected a matrix, found a tensor of shape " + shape.to_string());
  return shape[axis];
}

// Row `id` of a plain matrix, without a copy.
Tensor plain_row(const Tensor& table, int64_t id) {
  const int64_t width = table.shape()[1];
  const auto bytes = static_cast<size_t>(width * size_of(table.dtype()));
  auto* data = const_cast<std::byte*>(table.raw()) + static_cast<size_t>(id) * bytes;
  return {table.dtype(), Shape{width}, Storage{nullptr, data, bytes}};
}

}  // namespace

const Shape& Weight::shape() const { return is_quantized() ? quantized().shape : plain().shape(); }
int64_t Weight::rows() const { return extent(shape(), 0); }
int64_t Weight::columns() const { return extent(shape(), 1); }
size_t Weight::bytes() const { return is_quantized() ? quantized().bytes() : plain().bytes(); }

std::string Weight::stored_as() const {
  return is_quantized() ? to_string(quantized().scheme) : std::string(to_string(plain().dtype()));
}

Tensor Weight::floats(int threads) const {
  if (is_quantized()) return dequantize(quantized(), threads);
  return plain().dtype() == DType::f32 ? plain() : convert(plain(), DType::f32);
}

std::vector<float> Weight::values() const {
  std::vector<float> out(static_cast<size_t>(shape().elements()));
  to_f32(is_quantized() ? dequantize(quantized()) : plain(), out);
  return out;
}

void Weight::row(int64_t row, std::span<float> out) const {
  NIBBLE_CHECK(row >= 0 && row < rows() && static_cast<int64_t>(out.size()) == columns());
  if (is_quantized()) return dequantize_row(quantized(), row, out);
  to_f32(plain_row(plain(), row), out);
}

const Tensor& Weight::plain() const {
  NIBBLE_CHECK(!is_quantized());
  return *std::get_if<Tensor>(&held_);
}
Tensor& Weight::plain() { return const_cast<Tensor&>(std::as_const(*this).plain()); }

const QuantizedTensor& Weight::quantized() const {
  NIBBLE_CHECK(is_quantized());
  return *std::get_if<QuantizedTensor>(&held_);
}
QuantizedTensor& Weight::quantized() {
  return const_cast<QuantizedTensor&>(std::as_const(*this).quantized());
}

}  // namespace nibble
