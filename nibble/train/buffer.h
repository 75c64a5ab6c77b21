// Scratch memory of training: 64-byte aligned, zeroed, with the slack that kernels may read behind
// the end.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <new>

#include "nibble/kernels/train.h"

namespace nibble {

inline constexpr int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

template <class T>
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(int64_t size) : size_(size), data_(allocate(size + kTrainSlack)) {}

  T* data() { return data_.get(); }
  const T* data() const { return data_.get(); }
  int64_t size() const { return size_; }
  T* begin() { return data(); }
  T* end() { return data() + size_; }
  const T* begin() const { return data(); }
  const T* end() const { return data() + size_; }
  T& operator[](int64_t i) { return data_.get()[i]; }
  const T& operator[](int64_t i) const { return data_.get()[i]; }
  void clear() { std::fill(begin(), end(), T{0}); }

 private:
  struct Free {
    void operator()(T* p) const { ::operator delete[](p, std::align_val_t{64}); }
  };
  static T* allocate(int64_t count) {
    const auto n = static_cast<size_t>(count);
    T* p = static_cast<T*>(::operator new[](n * sizeof(T), std::align_val_t{64}));
    std::fill(p, p + n, T{0});
    return p;
  }
  int64_t size_ = 0;
  std::unique_ptr<T[], Free> data_;
};

}  // namespace nibble
