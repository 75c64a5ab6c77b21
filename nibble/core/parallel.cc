#include "nibble/core/parallel.h"

#include <algorithm>
#include <mutex>

namespace nibble {

void parallel_for(int64_t count, int threads, const std::function<void(int64_t)>& f) {
  if (threads <= 1 || count <= 1) {
    for (int64_t i = 0; i < count; ++i) f(i);
    return;
  }
  std::exception_ptr failure;
  int64_t failed = count;
  std::mutex mutex;
#pragma omp parallel for schedule(dynamic) num_threads(threads)
  for (int64_t i = 0; i < count; ++i) {
    try {
      f(i);
    } catch (...) {
      const std::lock_guard lock(mutex);
      if (i < failed) failure = std::current_exception();
      failed = std::min(failed, i);
    }
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace nibble
