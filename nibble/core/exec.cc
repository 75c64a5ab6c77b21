#include "nibble/core/exec.h"

#include <fmt/format.h>

#include "nibble/core/error.h"

namespace nibble {

void Exec::check_stop() const {
  if (!stopping()) return;
  const int signal = stop_signal->load(std::memory_order_relaxed);
  throw io_error(fmt::format("stopped by signal {}", signal)).with_code(128 + signal);
}

Exec Exec::single() const {
  Exec one;
  one.stop_signal = stop_signal;
  return one;
}

}  // namespace nibble
