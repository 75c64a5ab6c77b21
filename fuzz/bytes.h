// The fuzzer's bytes as a stream of choices; behind their end everything is 0.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <string>

class Bytes {
 public:
  Bytes(const uint8_t* data, size_t size) : data_(data), size_(size) {}
  bool empty() const { return size_ == 0; }
  uint8_t next() {
    if (size_ == 0) return 0;
    --size_;
    return *data_++;
  }
  /// One of a list; the first at the end.
  template <class T, size_t N>
  const T& of(const T (&list)[N]) {
    return list[next() % N];
  }
  /// Up to the first zero byte, which is taken, too.
  std::string text() {
    const auto* end = static_cast<const uint8_t*>(std::memchr(data_, 0, size_));
    const size_t length = end == nullptr ? size_ : static_cast<size_t>(end - data_);
    std::string out(reinterpret_cast<const char*>(data_), length);
    const size_t taken = std::min(size_, length + 1);
    data_ += taken;
    size_ -= taken;
    return out;
  }
  /// As many of `count` as there are.
  void fill(std::byte* to, size_t count) {
    for (size_t i = 0; i < count && size_ > 0; ++i) to[i] = static_cast<std::byte>(next());
  }

 private:
  const uint8_t* data_;
  size_t size_;
};
