// Random numbers and guarded memory for the tests of kernels.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace nibble {

class Noise {
 public:
  explicit Noise(uint64_t seed) : state_(seed * 2654435761u + 12345) {}
  uint32_t next() {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return static_cast<uint32_t>(state_ >> 33);
  }
  float real() { return static_cast<float>(static_cast<int>(next() >> 7) - (1 << 23)) / (1 << 23); }

 private:
  uint64_t state_;
};

// Bytes with guards on both sides, which no kernel may touch. Reads beyond the end are found by
// the sanitizer build: the bytes end where the block ends.
class Guarded {
 public:
  explicit Guarded(int64_t bytes) : data_(static_cast<size_t>(bytes) + 2 * kMargin, kGuard) {}
  uint8_t* data() { return data_.data() + kMargin; }
  bool intact() const {
    const auto is_guard = [](uint8_t b) { return b == kGuard; };
    return std::all_of(data_.begin(), data_.begin() + kMargin, is_guard) &&
           std::all_of(data_.end() - kMargin, data_.end(), is_guard);
  }

 private:
  static constexpr int kMargin = 64;
  static constexpr uint8_t kGuard = 0x5A;
  std::vector<uint8_t> data_;
};

}  // namespace nibble
