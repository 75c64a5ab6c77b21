#include "nibble/quant/weight.h"

#include <fmt/format.h>

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

Weight::Weight(const Weight& base, std::shared_ptr<const LowRank> added)
    : held_(base.held_), added_(std::move(added)) {
  NIBBLE_CHECK(base.added_ == nullptr && added_ != nullptr);
  NIBBLE_CHECK(added_->b.shape()[0] == rows() && added_->a.shape()[1] == columns());
}

Weight Weight::base() const {
  Weight out = *this;
  out.added_.reset();
  return out;
}

const Shape& Weight::shape() const {
  const auto* q = std::get_if<QuantizedTensor>(&held_);
  return q != nullptr ? q->shape : std::get<Tensor>(held_).shape();
}
int64_t Weight::rows() const { return extent(shape(), 0); }
int64_t Weight::columns() const { return extent(shape(), 1); }
size_t Weight::bytes() const {
  if (added_ != nullptr) return base().bytes() + added_->bytes();
  return is_quantized() ? quantized().bytes() : plain().bytes();
}

std::string Weight::stored_as() const {
  if (added_ != nullptr) return fmt::format("{} + rank {}", base().stored_as(), added_->rank());
  return is_quantized() ? to_string(quantized().scheme) : std::string(to_string(plain().dtype()));
}

Tensor Weight::floats(int threads) const {
  if (added_ != nullptr) {
    Tensor out = base().floats(threads);
    if (!is_quantized()) out = out.clone();  // it may be the base's own
    added_->add(out.mutable_data<float>(), threads);
    return out;
  }
  if (is_quantized()) return dequantize(quantized(), threads);
  return plain().dtype() == DType::f32 ? plain() : convert(plain(), DType::f32);
}

std::vector<float> Weight::values() const {
  if (added_ != nullptr) {
    const Tensor whole = floats();
    const auto data = whole.data<float>();
    return {data.begin(), data.end()};
  }
  std::vector<float> out(static_cast<size_t>(shape().elements()));
  to_f32(is_quantized() ? dequantize(quantized()) : plain(), out);
  return out;
}

void Weight::row(int64_t row, std::span<float> out) const {
  NIBBLE_CHECK(row >= 0 && row < rows() && static_cast<int64_t>(out.size()) == columns());
  if (added_ != nullptr) {
    base().row(row, out);
    return added_->add_row(row, out);
  }
  if (is_quantized()) return dequantize_row(quantized(), row, out);
  to_f32(plain_row(plain(), row), out);
}

const Tensor& Weight::plain() const {
  NIBBLE_CHECK(!is_quantized() && added_ == nullptr);
  return *std::get_if<Tensor>(&held_);
}
Tensor& Weight::plain() { return const_cast<Tensor&>(std::as_const(*this).plain()); }

const QuantizedTensor& Weight::quantized() const {
  NIBBLE_CHECK(is_quantized() && added_ == nullptr);
  return *std::get_if<QuantizedTensor>(&held_);
}
QuantizedTensor& Weight::quantized() {
  return const_cast<QuantizedTensor&>(std::as_const(*this).quantized());
}

}  // namespace nibble
