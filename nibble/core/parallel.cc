#include "nibble/core/parallel.h"

#include <algorithm>
#include <atomic>
#include <mutex>

#include "nibble/core/executor.h"

namespace nibble {
namespace {

struct Loop {
  Loop(int64_t all, const std::function<void(int64_t)>& body) : count(all), f(body) {}

  const int64_t count;
  const std::function<void(int64_t)>& f;
  std::atomic<int64_t> next{0};
  std::mutex mutex;  // of what follows
  int64_t failed = INT64_MAX;
  std::exception_ptr failure;

  // Numbers are taken in order: behind one that failed, none that is lower is still to be begun.
  void fail(int64_t i) {
    const std::lock_guard lock(mutex);
    if (i < failed) failure = std::current_exception();
    failed = std::min(failed, i);
    next = count;
  }

  void work() noexcept {
    for (int64_t i = next++; i < count; i = next++) {
      try {
        f(i);
      } catch (...) {
        fail(i);
      }
    }
  }
};

}  // namespace

void parallel_for(int64_t count, int threads, const std::function<void(int64_t)>& f) {
  Loop loop(count, f);
  Executor::run(
      static_cast<int>(std::min<int64_t>(count, threads)), Executor::Helpers::those_in_time,
      [](void* all, int64_t, int64_t) noexcept { static_cast<Loop*>(all)->work(); }, &loop);
  if (loop.failure) std::rethrow_exception(loop.failure);
}

}  // namespace nibble
