#include "cli/streams.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdlib>

#include "cli/errors.h"
#include "cli/signals.h"
#include "nibble/core/error.h"

namespace nibble::cli {
namespace {

constexpr int kLookMs = 100;       // between two looks at the stop flag
constexpr int kPatienceMs = 1000;  // with a stderr that takes nothing

// Waits until a descriptor can be read or written, or is broken; throws where a stop is asked for
// meanwhile.
void wait_for(int fd, short events) {
  pollfd waiting{fd, events, 0};
  while (poll(&waiting, 1, kLookMs) <= 0) check_stop();
}

}  // namespace

void occupy_closed_streams() {
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; ++fd) {
    if (fcntl(fd, F_GETFD) >= 0) continue;
    // The lowest free number is given: this one. Reading and writing it fail with EBADF, as before.
    if (open("/", O_PATH) != fd) std::_Exit(kExitMemory);
  }
}

std::string printable_lines(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    out += printable(text.substr(0, end), SIZE_MAX);
    if (end < text.size()) out += '\n';
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return out;
}

void print_out(std::string_view text) { print_raw(printable_lines(text)); }

void print_raw(std::string_view text) {
  constexpr size_t kMost = 4096;  // a pipe that poll() calls ready takes as much without waiting
  while (!text.empty()) {
    wait_for(STDOUT_FILENO, POLLOUT);
    const ssize_t n = ::write(STDOUT_FILENO, text.data(), std::min(text.size(), kMost));
    if (n > 0) {
      text.remove_prefix(static_cast<size_t>(n));
    } else if (errno == EPIPE) {
      std::_Exit(0);  // the reader has seen enough
    } else if (errno != EINTR && errno != EAGAIN) {
      throw system_error(errno, "stdout", "write");
    }
  }
}

void put_message(std::string_view line) { put_raw_message(printable_lines(line) + "\n"); }

void put_raw_message(std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = ::write(STDERR_FILENO, text.data(), text.size());
    if (n > 0) {
      text.remove_prefix(static_cast<size_t>(n));
      continue;
    }
    pollfd full{STDERR_FILENO, POLLOUT, 0};
    if (errno != EINTR && (errno != EAGAIN || poll(&full, 1, kPatienceMs) <= 0)) return;
  }
}

std::string read_standard_input(int64_t limit) {
  std::string out;
  std::string buffer(size_t{1} << 16, '\0');
  while (true) {
    check_stop();
    wait_for(STDIN_FILENO, POLLIN);
    const ssize_t n = ::read(STDIN_FILENO, buffer.data(), buffer.size());
    if (n == 0) return out;
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (n < 0) throw system_error(errno, "standard input", "read");
    out.append(buffer, 0, static_cast<size_t>(n));
    if (static_cast<int64_t>(out.size()) > limit)
      throw invalid_argument(fmt::format("standard input is over {} bytes", limit));
  }
}

std::optional<std::string> InputLines::next() {
  constexpr size_t kLongest = size_t{16} << 20;
  char buffer[4096];
  size_t end = held_.find('\n');
  while (end == std::string::npos && !ended_) {
    check_stop();
    wait_for(STDIN_FILENO, POLLIN);
    const ssize_t n = ::read(STDIN_FILENO, buffer, sizeof buffer);
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (n < 0) throw system_error(errno, "standard input", "read");
    ended_ = n == 0;
    const size_t before = held_.size();
    held_.append(buffer, static_cast<size_t>(n));
    end = held_.find('\n', before);
    if (held_.size() > kLongest) throw invalid_argument("standard input: a line over 16 MiB");
  }
  if (end == std::string::npos && held_.empty()) return std::nullopt;
  std::string out = held_.substr(0, end);
  held_.erase(0, end == std::string::npos ? end : end + 1);
  if (out.ends_with('\r')) out.pop_back();
  return out;
}

}  // namespace nibble::cli
