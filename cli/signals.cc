#include "cli/signals.h"

#include <unistd.h>

#include <csignal>

#include "nibble/core/files.h"

namespace nibble::cli {
namespace {

std::atomic<int> g_signal{0};
static_assert(std::atomic<int>::is_always_lock_free,
              "a signal handler may touch only lock-free atomics");

void on_signal(int signal) {
  if (g_signal.exchange(signal) == 0) return;
  remove_temporaries_now();
  _exit(128 + signal);
}

}  // namespace

void install_signal_handlers() {
  struct sigaction action {};
  action.sa_handler = on_signal;
  sigemptyset(&action.sa_mask);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) sigaction(signal, &action, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);
}

const std::atomic<int>* stop_signal() { return &g_signal; }

}  // namespace nibble::cli
