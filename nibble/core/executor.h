// Executor: the threads that help. Team and parallel_for are what the rest of nibble uses.
#pragma once

#include <cstdint>

namespace nibble {

/// Threads that wait for something to do: made when they are first wanted, kept for the life of the
/// process. Where the system gives no more of them there are fewer. Several threads may call at
/// once: each gets helpers of its own. A child made by fork() begins without any.
class Executor {
 public:
  /// What a call runs on each of its threads: `rank` 0 is the caller, `size` how many there are.
  using Body = void (*)(void* context, int64_t rank, int64_t size) noexcept;

  /// Whether every thread must have run the body, or those may be left out that had not begun when
  /// the caller's returned, because no core was free for them.
  enum class Helpers { all, those_in_time };

  /// Runs `body` on the calling thread and beside it on at most threads - 1 helpers; returns when
  /// all have. Inside a body it runs on the calling thread alone. Throws only std::bad_alloc,
  /// before any body runs.
  static void run(int threads, Helpers helpers, Body body, void* context);

  /// Makes the helpers that `threads` threads at once need and returns how many threads run() can
  /// have: fewer where they cannot be made, or would leave the work itself no address space.
  static int reserve(int threads);

  /// Whether the calling thread is inside a body.
  static bool inside();

 private:
  class Pool;
  struct Helper;
  static Pool& pool();
};

}  // namespace nibble
