#include "nibble/core/transpose.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <new>

#include "nibble/core/error.h"

namespace nibble {
namespace {

constexpr int64_t kTile = 32;

template <class T>
void transpose_as(const Tensor& from, Tensor& to) {
  const int64_t n = from.shape()[0], k = from.shape()[1];
  // A mapped tensor may begin at any byte.
  const std::byte* in = from.raw();
  auto* out = reinterpret_cast<T*>(to.mutable_raw());
  for (int64_t row = 0; row < n; row += kTile) {
    for (int64_t column = 0; column < k; column += kTile) {
      for (int64_t c = column; c < std::min(column + kTile, k); ++c) {
        for (int64_t r = row; r < std::min(row + kTile, n); ++r)
          std::memcpy(out + c * n + r, in + static_cast<size_t>(r * k + c) * sizeof(T), sizeof(T));
      }
    }
  }
}

// Memory straight from the system, given back at once when it is let go: between the packed weights
// that stay, the heap would keep the holes.
Storage pages(size_t size) {
  const size_t length = std::max<size_t>(size, 1);
  void* at = mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (at == MAP_FAILED) throw std::bad_alloc();
  return {std::shared_ptr<const void>(at, [at, length](const void*) { munmap(at, length); }),
          static_cast<std::byte*>(at), size};
}

}  // namespace

Tensor transpose(const Tensor& matrix) {
  NIBBLE_CHECK(matrix.shape().rank() == 2);
  Tensor out(matrix.dtype(), Shape{matrix.shape()[1], matrix.shape()[0]}, pages(matrix.bytes()));
  switch (size_of(matrix.dtype())) {
    case 1:
      transpose_as<uint8_t>(matrix, out);
      break;
    case 2:
      transpose_as<uint16_t>(matrix, out);
      break;
    case 4:
      transpose_as<uint32_t>(matrix, out);
      break;
    default:
      transpose_as<uint64_t>(matrix, out);
  }
  return out;
}

}  // namespace nibble
