
#include "nibble/core/error.h"
#include "nibble/core/float_formats.h"
#include "nibble/nn/linear.h"

namespace nibble {
namespace {

int64_t extent(const Weight& w, size_t axis) {
  const Shape& shape = std::holds_alternative<Tensor>(w) ? std::get<Tensor>(w).shape()
                                                         : std::get<QuantizedTensor>(w).shape;
  if (shape.rank() != 2)
    throw corrupt("expected a matrix, found a tensor of shape " + shape.to_string());
  return shape[axis];
}

// Row `id` of a plain matrix, without a copy.
Tensor row_of(const Tensor& table, int64_t id) {
  const int64_t width = table.shape()[1];
  const auto bytes = static_cast<size_t>(width * size_of(table.dtype()));
  auto* data = const_cast<std::byte*>(table.raw()) + static_cast<size_t>(id) * bytes;
  return {table.dtype(), Shape{width}, Storage{nullptr, data, bytes}};
}

}  // namespace

int64_t rows(const Weight& w) { return extent(w, 0); }
int64_t columns(const Weight& w) { return extent(w, 1); }

size_t bytes(const Weight& w) {
  return std::holds_alternative<Tensor>(w) ? std::get<Tensor>(w).bytes()
                                           : std::get<QuantizedTensor>(w).bytes();
}

void Embedding::lookup(int64_t id, std::span<float> out) const {
  NIBBLE_CHECK(id >= 0 && id < rows() && static_cast<int64_t>(out.size()) == width());
  if (const auto* q = std::get_if<QuantizedTensor>(&table_)) {
    dequantize_row(*q, id, out);
  } else {
    to_f32(row_of(std::get<Tensor>(table_), id), out);
  }
}

void Embedding::add(int64_t id, std::span<float> out) const {
  std::vector<float> row(out.size());
  lookup(id, row);
  for (size_t i = 0; i < out.size(); ++i) out[i] += row[i];
}

}  // namespace nibble
