#include "cli/signals.h"

#include <poll.h>
#include <unistd.h>

#include <csignal>
#include <cstddef>
#include <string>

#include "cli/errors.h"
#include "nibble/core/files.h"

namespace nibble::cli {
namespace {

// What work that cannot look at the flag, or a checkpoint on a slow disk, may take; whoever stops
// services waits for 10 seconds at least.
constexpr unsigned kGraceSeconds = 3;
constexpr int kStopping[] = {SIGINT, SIGTERM, SIGHUP};

std::atomic<int> g_signal{0};
static_assert(std::atomic<int>::is_always_lock_free,
              "a signal handler may touch only lock-free atomics");
// What is said of each signal: composed beforehand, since a handler may not allocate.
std::string g_words[std::size(kStopping)];
alignas(64) std::byte g_stack[1 << 16];

// Nobody may read what stderr is, and the words are few enough for any pipe that is not full.
void say_if_heard(const std::string& words) {
  pollfd ready{STDERR_FILENO, POLLOUT, 0};
  if (poll(&ready, 1, 0) <= 0 || (ready.revents & POLLOUT) == 0) return;
  [[maybe_unused]] const ssize_t n = write(STDERR_FILENO, words.data(), words.size());
}

[[noreturn]] void end_now(int signal) {
  remove_temporaries_now();
  for (size_t i = 0; i < std::size(kStopping); ++i) {
    if (kStopping[i] == signal) say_if_heard(g_words[i]);
  }
  _exit(128 + signal);
}

void on_signal(int signal) {
  if (g_signal.exchange(signal) != 0) end_now(signal);
  alarm(kGraceSeconds);
}

void on_alarm(int) { end_now(g_signal.load()); }

// On the stack that install_signal_handlers() sets up.
void handle(int signal, void (*handler)(int)) {
  struct sigaction action {};
  action.sa_handler = handler;
  action.sa_flags = SA_ONSTACK;
  sigemptyset(&action.sa_mask);
  for (const int other : kStopping) sigaddset(&action.sa_mask, other);
  sigaction(signal, &action, nullptr);
}

bool is_ignored(int signal) {
  struct sigaction action {};
  return sigaction(signal, nullptr, &action) == 0 && action.sa_handler == SIG_IGN;
}

}  // namespace

void install_signal_handlers(bool json) {
  stack_t stack{};
  stack.ss_sp = g_stack;
  stack.ss_size = sizeof g_stack;
  sigaltstack(&stack, nullptr);
  for (size_t i = 0; i < std::size(kStopping); ++i) {
    const Error stopped = cancelled(kStopping[i]);
    g_words[i] = error_text(stopped, exit_code_of(stopped), json);
    if (!is_ignored(kStopping[i])) handle(kStopping[i], on_signal);
  }
  handle(SIGALRM, on_alarm);
  sigset_t alarms;
  sigemptyset(&alarms);
  sigaddset(&alarms, SIGALRM);
  sigprocmask(SIG_UNBLOCK, &alarms, nullptr);  // whoever started us may have blocked them
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);
}

const std::atomic<int>* stop_signal() { return &g_signal; }

void check_stop() {
  if (const int signal = g_signal.load(); signal != 0) throw cancelled(signal);
}

void stop_was_heard() { alarm(0); }

}  // namespace nibble::cli
