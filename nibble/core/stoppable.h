// A parallel loop that hears a stop.
#pragma once

#include <cstdint>
#include <functional>

#include "nibble/core/exec.h"

namespace nibble {

/// parallel_for over exec.threads. Once a stop is asked for, no more of it is begun, and it ends
/// with the Error of exec.check_stop().
void parallel_for(int64_t count, const Exec& exec, const std::function<void(int64_t)>& f);

}  // namespace nibble
