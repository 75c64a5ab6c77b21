// Work that needs more stack than `ulimit -s` may leave the program.
#pragma once

#include <functional>

namespace nibble::cli {

/// f(), on a thread with a stack that is large enough where this one's may not grow so far. Signals
/// stay with the calling thread. Where no thread can be made, f() is called here all the same.
int with_large_stack(const std::function<int()>& f);

}  // namespace nibble::cli
