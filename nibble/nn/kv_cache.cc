#include "nibble/nn/kv_cache.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <new>

#include "nibble/core/checked.h"
#include "nibble/core/error.h"
#include "nibble/core/float_formats.h"

namespace nibble {
namespace {

constexpr float kLargestF16 = 65504.0f;

void store(DType dtype, const float* from, int64_t n, std::byte* to) {
  if (dtype == DType::f32) {
    std::memcpy(to, from, static_cast<size_t>(n) * sizeof(float));
    return;
  }
  for (int64_t i = 0; i < n; ++i) {
    const uint16_t half = f32_to_f16(std::clamp(from[i], -kLargestF16, kLargestF16));
    std::memcpy(to + i * 2, &half, sizeof half);
  }
}

size_t bytes_of(int64_t layers, int64_t heads, int64_t capacity, int64_t row_bytes) {
  const auto rows = checked_mul(layers * heads, capacity);
  const auto bytes = rows ? checked_mul(*rows, row_bytes) : std::nullopt;
  if (!bytes) throw std::bad_alloc();
  return static_cast<size_t>(*bytes);
}

}  // namespace

KvCache::KvCache(int64_t layers, int64_t capacity, const AttentionShape& shape, DType dtype)
    : capacity_(capacity),
      row_bytes_(shape.head_dim * size_of(dtype)),
      shape_(shape),
      dtype_(dtype),
      bytes_(bytes_of(layers, shape.kv_heads, capacity, row_bytes_)) {
  if (dtype != DType::f32 && dtype != DType::f16) {
    throw unsupported(
        fmt::format("a KV cache of {} cannot be kept (f32 and f16 can)", to_string(dtype)));
  }
  keys_ = allocate();
  values_ = allocate();
}

KvCache::Memory KvCache::allocate() const {
  // calloc: the system gives zeroed pages only as they are touched.
  Memory memory(static_cast<std::byte*>(std::calloc(bytes_ + 1, 1)));
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

void KvCache::write(int64_t layer, int64_t start, int64_t m, const float* k, const float* v,
                    int64_t stride) {
  NIBBLE_CHECK(start >= 0 && m >= 0 && start + m <= capacity_);
  const int64_t n = shape_.head_dim;
  for (int64_t head = 0; head < shape_.kv_heads; ++head) {
    std::byte* const keys = at(keys_.get(), layer, head) + start * row_bytes_;
    std::byte* const values = at(values_.get(), layer, head) + start * row_bytes_;
    for (int64_t r = 0; r < m; ++r) {
      store(dtype_, k + r * stride + head * n, n, keys + r * row_bytes_);
      store(dtype_, v + r * stride + head * n, n, values + r * row_bytes_);
    }
  }
}

}  // namespace nibble
