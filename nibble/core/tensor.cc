#include "nibble/core/tensor.h"

#include <fmt/format.h>

#include <cstdlib>
#include <cstring>
#include <new>
#include <utility>

#include "nibble/core/checked.h"

namespace nibble {
namespace {

constexpr size_t kAlignment = 64;

Storage allocate(size_t bytes) {
  const size_t padded = (bytes / kAlignment + 1) * kAlignment;
  void* block = std::aligned_alloc(kAlignment, padded);
  if (block == nullptr) throw std::bad_alloc();
  std::memset(block, 0, padded);
  return {std::shared_ptr<void>(block, std::free), static_cast<std::byte*>(block), bytes};
}

}  // namespace

int64_t Shape::elements() const {
  int64_t product = 1;
  bool zero = false;
  for (int64_t d : dims_) {
    if (d < 0) throw corrupt(fmt::format("shape {} has a negative extent", to_string()));
    zero |= d == 0;
  }
  if (zero) return 0;
  for (int64_t d : dims_) {
    const auto next = checked_mul(product, d);
    if (!next)
      throw corrupt(fmt::format("shape {} has more elements than 64 bits can count", to_string()));
    product = *next;
  }
  return product;
}

std::string Shape::to_string() const { return fmt::format("[{}]", fmt::join(dims_, ", ")); }

Tensor::Tensor(DType dtype, Shape shape)
    : dtype_(dtype), shape_(std::move(shape)), elements_(shape_.elements()) {
  const auto size = checked_mul(elements_, size_of(dtype));
  if (!size)
    throw corrupt(fmt::format("a tensor of shape {} does not fit in memory", shape_.to_string()));
  storage_ = allocate(static_cast<size_t>(*size));
}

Tensor::Tensor(DType dtype, Shape shape, Storage storage)
    : dtype_(dtype),
      shape_(std::move(shape)),
      elements_(shape_.elements()),
      storage_(std::move(storage)) {
  const auto size = checked_mul(elements_, size_of(dtype));
  if (!size || static_cast<size_t>(*size) != storage_.size) {
    throw corrupt(fmt::format("shape {} of {} does not match {} bytes", shape_.to_string(),
                              nibble::to_string(dtype), storage_.size));
  }
}

Tensor Tensor::reshaped(Shape shape) const { return {dtype_, std::move(shape), storage_}; }

Tensor Tensor::clone() const {
  Tensor out(dtype_, shape_);
  if (bytes() != 0) std::memcpy(out.mutable_raw(), raw(), bytes());
  return out;
}

}  // namespace nibble
