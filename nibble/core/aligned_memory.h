// AlignedMemory: uninitialized memory for large arrays, aligned for any vector; large ones ask the
// system for huge pages. It grows and never shrinks.
#pragma once

#include <cstddef>
#include <cstdint>

namespace nibble {

class AlignedMemory {
 public:
  AlignedMemory() = default;
  explicit AlignedMemory(int64_t bytes) { reserve(bytes); }
  ~AlignedMemory();
  AlignedMemory(AlignedMemory&& other) noexcept;
  AlignedMemory& operator=(AlignedMemory&& other) noexcept;

  /// Makes room for at least `bytes`; what was there is lost where it grows. std::bad_alloc where
  /// the system has no more.
  void reserve(int64_t bytes);
  int64_t bytes() const { return bytes_; }
  template <class T = std::byte>
  T* as() const {
    return reinterpret_cast<T*>(data_);
  }
  /// Room for `count` elements of T, growing where there is less.
  template <class T>
  T* get(int64_t count) {
    reserve(count * static_cast<int64_t>(sizeof(T)));
    return as<T>();
  }

 private:
  std::byte* data_ = nullptr;
  int64_t bytes_ = 0;
};

}  // namespace nibble
