// Bell: what one thread waits for and another brings about.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

namespace nibble {

/// Counts how often it was rung. Who waits looks at it for a while, in case it is rung soon, and
/// then sleeps, so that the core is free for whoever it is waiting for. What was written before
/// ring() is seen behind the wait() that it ended. May be rung by several threads.
class Bell {
 public:
  uint32_t rings() const { return rings_.load(std::memory_order_acquire); }
  void ring();
  /// Returns when rings() is no longer `before`; how long it waited where it slept, else 0.
  std::chrono::nanoseconds wait(uint32_t before, std::chrono::nanoseconds awake);

 private:
  std::atomic<uint32_t> rings_{0}, sleepers_{0};
};

}  // namespace nibble
