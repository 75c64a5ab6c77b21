// What bounds the program of a chat template: steps and bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

#include "nibble/core/error.h"

namespace nibble::jinja {

/// What a template did wrong, said for people: Error{corrupt}. Who runs the program adds the line.
Error failure(std::string_view format);

/// A step is a node of the program that is run, or some work of its size. Once a bound was met
/// every further step meets it, so that nothing goes on with half a result.
class Meter {
 public:
  Meter(int64_t steps, int64_t bytes) : steps_(steps), bytes_(bytes) {}
  void step(int64_t n = 1) {
    steps_ -= n;
    if (steps_ < 0) stop_for_steps();
  }
  /// For work that grows with a text: a step for each 64 bytes.
  void pass(size_t bytes) { step(static_cast<int64_t>(bytes / 64)); }
  /// Bytes that values hold, from take() to give().
  void take(int64_t bytes) {
    if (bytes > bytes_) stop_for_bytes();
    bytes_ -= bytes;
  }
  void give(int64_t bytes) { bytes_ += bytes; }

 private:
  [[noreturn]] void stop_for_steps();
  [[noreturn]] void stop_for_bytes();
  int64_t steps_, bytes_;
};

/// Bytes taken from a meter, given back with it.
class Charge {
 public:
  explicit Charge(Meter& meter) : meter_(&meter) {}
  Charge(Charge&& other) noexcept : meter_(other.meter_), bytes_(std::exchange(other.bytes_, 0)) {}
  Charge& operator=(Charge&&) = delete;
  Charge(const Charge&) = delete;
  Charge& operator=(const Charge&) = delete;
  ~Charge() { meter_->give(bytes_); }
  void add(size_t bytes) {
    meter_->take(static_cast<int64_t>(bytes));
    bytes_ += static_cast<int64_t>(bytes);
  }
  Meter& meter() const { return *meter_; }

 private:
  Meter* meter_;
  int64_t bytes_ = 0;
};

}  // namespace nibble::jinja
