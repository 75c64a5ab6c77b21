// Signals: the first SIGINT or SIGTERM asks the work to stop in order, a second one ends the
// process at once.
#pragma once

#include <atomic>

namespace nibble::cli {

/// Handles SIGINT, SIGTERM and SIGHUP, and ignores SIGPIPE and SIGXFSZ (the write then fails with a
/// word).
void install_signal_handlers();
/// The signal that asked for a stop; 0 while none did.
const std::atomic<int>* stop_signal();

}  // namespace nibble::cli
