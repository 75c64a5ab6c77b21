#include "nibble/core/exec.h"

#include <fmt/format.h>
#include <sched.h>

#include <algorithm>

#include "nibble/core/stop.h"

namespace nibble {

Error stopped_by(int signal) {
  return io_error(fmt::format("stopped by signal {}", signal)).with_code(128 + signal);
}

void Exec::check_stop() const {
  if (!stopping()) return;
  throw stopped_by(stop_signal->load(std::memory_order_relaxed));
}

Exec Exec::single() const {
  Exec one;
  one.stop_signal = stop_signal;
  return one;
}

int default_threads() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) != 0) return 1;
  return std::max(1, CPU_COUNT(&set));
}

}  // namespace nibble
