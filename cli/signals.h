// Signals: the first SIGINT, SIGTERM or SIGHUP asks the work to stop in order; a second one, or a
// few seconds in which it did not, end the process at once. Unfinished outputs are removed in any
// case.
#pragma once

#include <atomic>

namespace nibble::cli {

/// Handles SIGINT, SIGTERM and SIGHUP, but for those that whoever started us ignores (nohup, a
/// shell's background job), and ignores SIGPIPE and SIGXFSZ (the write then fails with a word). The
/// handlers run on a stack of their own: some products of oneDNN use the stack pointer for
/// something else. `json`: how an end at once is told.
void install_signal_handlers(bool json);
/// The signal that asked for a stop; 0 while none did.
const std::atomic<int>* stop_signal();
/// Error{cancelled} where one did.
void check_stop();
/// The work has stopped in order: what is left to do takes no time, and is not cut short.
void stop_was_heard();

}  // namespace nibble::cli
