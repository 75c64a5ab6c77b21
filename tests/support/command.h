// Runs the nibble command as a person would and tells how it ended.
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace nibble::test {

#if defined(__SANITIZE_ADDRESS__)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

struct CommandOptions {
  std::string input = {};                                     ///< stdin
  bool close_stdin = false;                                   ///< the command starts without fd 0
  std::string stdout_path = {};                               ///< a file instead of being captured
  bool break_stdout = false;                                  ///< the reader is gone from the start
  std::vector<std::pair<std::string, std::string>> set = {};  ///< environment
  std::vector<std::string> unset = {};                        ///< environment
  double limit_s = 10;  ///< then SIGKILL (5 times it under ASan)
  int signal = 0;       ///< sent to it after signal_after_s
  double signal_after_s = 0;
  std::function<void()> in_child = {};  ///< just before exec: limits, another user
};

struct CommandResult {
  int exit_code = -1;  ///< -1 where a signal ended it
  int signal = 0;      ///< the signal that ended it
  bool timed_out = false;
  std::string out, err;
  double seconds = 0;
  /// Of the process, not less than that of the test which started it (Linux counts it so).
  int64_t peak_rss_bytes = 0;
};

namespace detail {

struct Pipe {
  int ends[2] = {-1, -1};
  Pipe() {
    if (pipe2(ends, O_CLOEXEC) != 0) throw std::runtime_error("pipe");
  }
  ~Pipe() {
    shut(0);
    shut(1);
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  void shut(int end) {
    if (ends[end] >= 0) close(ends[end]);
    ends[end] = -1;
  }
};

[[noreturn]] inline void become(const std::vector<std::string>& command, const CommandOptions& o,
                                int in, int out, int err) {
  dup2(in, 0);
  if (o.close_stdin) close(0);
  dup2(out, 1);
  dup2(err, 2);
  if (!o.stdout_path.empty()) dup2(open(o.stdout_path.c_str(), O_WRONLY | O_CREAT, 0666), 1);
  for (const auto& [name, value] : o.set) setenv(name.c_str(), value.c_str(), 1);
  for (const std::string& name : o.unset) unsetenv(name.c_str());
  if (o.in_child) o.in_child();
  std::vector<char*> argv = {};
  for (const std::string& word : command) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  execvp(argv[0], argv.data());
  _exit(127);
}

}  // namespace detail

/// A command that has been started and not yet waited for.
class RunningCommand {
 public:
  RunningCommand(const std::vector<std::string>& command, CommandOptions options)
      : options_(std::move(options)), start_(std::chrono::steady_clock::now()) {
    std::signal(SIGPIPE, SIG_IGN);
    if (options_.break_stdout) out_.shut(0);
    pid_ = fork();
    if (pid_ < 0) throw std::runtime_error("fork");
    if (pid_ == 0) {
      // Whoever runs the tests may ignore some of them (a shell's background job).
      for (const int signal : {SIGPIPE, SIGINT, SIGTERM, SIGHUP}) std::signal(signal, SIG_DFL);
      detail::become(command, options_, in_.ends[0], out_.ends[1], err_.ends[1]);
    }
    in_.shut(0);
    out_.shut(1);
    err_.shut(1);
    if (options_.input.empty()) in_.shut(1);
  }

  CommandResult wait() {
    while (exchange_text()) {
      send_signals();
    }
    in_.shut(1);
    rusage usage{};
    int status = 0;
    while (wait4(pid_, &status, WNOHANG, &usage) == 0) {
      send_signals();
      usleep(1000);
    }
    result_.seconds = elapsed();
    if (WIFEXITED(status)) result_.exit_code = WEXITSTATUS(status);
    if (WIFSIGNALED(status)) result_.signal = WTERMSIG(status);
    result_.peak_rss_bytes = int64_t{usage.ru_maxrss} * 1024;
    return result_;
  }

 private:
  double elapsed() const {
    const auto passed = std::chrono::steady_clock::now() - start_;
    return std::chrono::duration<double>(passed).count();
  }

  void send_signals() {
    if (options_.signal != 0 && elapsed() >= options_.signal_after_s) {
      kill(pid_, std::exchange(options_.signal, 0));
    }
    if (!result_.timed_out && elapsed() > options_.limit_s * (kSanitized ? 5 : 1)) {
      result_.timed_out = true;
      kill(pid_, SIGKILL);
    }
  }

  // Moves what can be moved within 10 ms; false once stdout and stderr are at their end.
  bool exchange_text() {
    pollfd waiting[3] = {
        {out_.ends[0], POLLIN, 0}, {err_.ends[0], POLLIN, 0}, {in_.ends[1], POLLOUT, 0}};
    poll(waiting, 3, 10);
    if (waiting[0].revents != 0) take(out_, result_.out);
    if (waiting[1].revents != 0) take(err_, result_.err);
    if (waiting[2].revents != 0) give();
    return out_.ends[0] >= 0 || err_.ends[0] >= 0;
  }

  static void take(detail::Pipe& from, std::string& to) {
    char buffer[65536];
    const ssize_t n = read(from.ends[0], buffer, sizeof buffer);
    if (n > 0) to.append(buffer, static_cast<size_t>(n));
    if (n == 0 || (n < 0 && errno != EINTR)) from.shut(0);
  }

  void give() {
    const size_t part = std::min<size_t>(options_.input.size() - given_, 4096);
    const ssize_t n = write(in_.ends[1], options_.input.data() + given_, part);
    if (n > 0) given_ += static_cast<size_t>(n);
    if (n < 0 || given_ == options_.input.size()) in_.shut(1);
  }

  CommandOptions options_;
  std::chrono::steady_clock::time_point start_;
  detail::Pipe in_, out_, err_;
  size_t given_ = 0;
  pid_t pid_ = -1;
  CommandResult result_;
};

/// Runs any program found on PATH.
inline CommandResult run_program(const std::vector<std::string>& command, CommandOptions o = {}) {
  return RunningCommand(command, std::move(o)).wait();
}

#ifdef NIBBLE_COMMAND
/// `nibble` and these arguments, as words.
inline std::vector<std::string> nibble_words(const std::vector<std::string>& arguments) {
  std::vector<std::string> words = {NIBBLE_COMMAND};
  words.insert(words.end(), arguments.begin(), arguments.end());
  return words;
}

inline CommandResult run_nibble(const std::vector<std::string>& arguments, CommandOptions o = {}) {
  return run_program(nibble_words(arguments), std::move(o));
}
#endif

}  // namespace nibble::test
