#include "nibble/core/exec.h"

#include "nibble/core/error.h"

namespace nibble {

void Exec::check_stop() const {
  if (!stopping()) return;
  throw cancelled(stop_signal->load(std::memory_order_relaxed));
}

Exec Exec::single() const {
  Exec one;
  one.stop_signal = stop_signal;
  return one;
}

}  // namespace nibble
