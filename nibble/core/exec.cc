#include "nibble/core/exec.h"

#include <fmt/format.h>

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

}  // namespace nibble
