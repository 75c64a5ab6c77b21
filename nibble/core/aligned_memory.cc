#include "nibble/core/aligned_memory.h"

#include <sys/mman.h>

#include <cstdlib>
#include <new>
#include <utility>

#include "nibble/core/checked.h"

namespace nibble {
namespace {

constexpr int64_t kHugePage = int64_t{2} << 20;
constexpr int64_t kLine = 64;

}  // namespace

AlignedMemory::~AlignedMemory() { std::free(data_); }

AlignedMemory::AlignedMemory(AlignedMemory&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}

AlignedMemory& AlignedMemory::operator=(AlignedMemory&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

void AlignedMemory::reserve(int64_t bytes) {
  if (bytes <= bytes_ && data_ != nullptr) return;
  const bool huge = bytes >= 2 * kHugePage;
  const int64_t unit = huge ? kHugePage : kLine;
  // A line more than asked for: kernels may read a whole vector at the end.
  const int64_t size = ceil_div(bytes + kLine, unit) * unit;
  void* data = std::aligned_alloc(static_cast<size_t>(unit), static_cast<size_t>(size));
  if (data == nullptr) throw std::bad_alloc();
#ifdef MADV_HUGEPAGE
  if (huge) madvise(data, static_cast<size_t>(size), MADV_HUGEPAGE);
#endif
  std::free(data_);
  data_ = static_cast<std::byte*>(data);
  bytes_ = bytes;
}

}  // namespace nibble
