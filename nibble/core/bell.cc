#include "nibble/core/bell.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <climits>

namespace nibble {
namespace {

using Clock = std::chrono::steady_clock;
constexpr int kLooks = 16;  // between two looks at the clock

void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("isb");
#endif
}

// The word is 32 bits, as the kernel wants it.
static_assert(sizeof(std::atomic<uint32_t>) == sizeof(uint32_t));
long futex(const std::atomic<uint32_t>& word, int operation, uint32_t value) {
  return syscall(SYS_futex, &word, operation | FUTEX_PRIVATE_FLAG, value, nullptr, nullptr, 0);
}

}  // namespace

void Bell::ring() {
  rings_.fetch_add(1, std::memory_order_seq_cst);
  // Who goes to sleep counts itself first and then has the kernel compare the word again: either it
  // is seen here, or it sees the ring.
  if (sleepers_.load(std::memory_order_seq_cst) != 0) futex(rings_, FUTEX_WAKE, INT_MAX);
}

std::chrono::nanoseconds Bell::wait(uint32_t before, std::chrono::nanoseconds awake) {
  if (rings() != before) return {};
  const Clock::time_point start = Clock::now();
  do {
    for (int i = 0; i < kLooks; ++i) {
      if (rings() != before) return {};
      relax();
    }
  } while (Clock::now() - start < awake);
  sleepers_.fetch_add(1, std::memory_order_seq_cst);
  while (rings_.load(std::memory_order_seq_cst) == before) futex(rings_, FUTEX_WAIT, before);
  sleepers_.fetch_sub(1, std::memory_order_relaxed);
  return Clock::now() - start;
}

}  // namespace nibble
