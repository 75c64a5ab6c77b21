#include "nibble/core/stoppable.h"

#include "nibble/core/parallel.h"

namespace nibble {

void parallel_for(int64_t count, const Exec& exec, const std::function<void(int64_t)>& f) {
  parallel_for(count, exec.threads, [&](int64_t i) {
    if (!exec.stopping()) f(i);
  });
  exec.check_stop();
}

}  // namespace nibble
