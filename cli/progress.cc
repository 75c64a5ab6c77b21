#include "cli/progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <string>

namespace nibble::cli {
namespace {

using Clock = std::chrono::steady_clock;
constexpr double kRedrawSeconds = 0.1;
constexpr int kBarWidth = 24;

double seconds_since(Clock::time_point t) {
  return std::chrono::duration<double>(Clock::now() - t).count();
}

int terminal_width() {
  winsize size{};
  if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  return 80;
}

std::string bar(double share) {
  const int filled = static_cast<int>(share * kBarWidth);
  return std::string(static_cast<size_t>(filled), '=') + (filled < kBarWidth ? ">" : "") +
         std::string(static_cast<size_t>(std::max(0, kBarWidth - filled - 1)), ' ');
}

}  // namespace

struct ProgressBar::State {
  std::string task;
  Clock::time_point start = Clock::now(), last{};
  bool drawn = false;
};

ProgressBar::ProgressBar() : state_(std::make_unique<State>()) {}
ProgressBar::~ProgressBar() { clear(); }

void ProgressBar::show(const Progress& p) {
  State& s = *state_;
  if (s.task != p.task) {
    s.task = p.task;
    s.start = Clock::now();
  } else if (seconds_since(s.last) < kRedrawSeconds && p.done < p.total) {
    return;
  }
  s.last = Clock::now();
  const double share = p.total > 0 ? static_cast<double>(p.done) / static_cast<double>(p.total) : 0;
  const double spent = seconds_since(s.start), left = share > 0 ? spent * (1 - share) / share : 0;
  std::string line =
      fmt::format("{} [{}] {:3.0f} %  {} left", s.task, bar(share), share * 100, clock_time(left));
  if (!p.detail.empty()) line += "  " + p.detail;
  line.resize(std::min(line.size(), static_cast<size_t>(terminal_width() - 1)));
  std::fprintf(stderr, "\r\x1b[K%s", line.c_str());
  std::fflush(stderr);
  s.drawn = true;
}

void ProgressBar::clear() {
  if (!state_->drawn) return;
  std::fputs("\r\x1b[K", stderr);
  std::fflush(stderr);
  state_->drawn = false;
}

bool can_draw() {
  const char* term = std::getenv("TERM");
  return isatty(STDERR_FILENO) == 1 && (term == nullptr || std::string_view(term) != "dumb");
}

std::string clock_time(double seconds) {
  const auto s = std::lround(seconds);
  if (s >= 3600) return fmt::format("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60);
  return fmt::format("{}:{:02}", s / 60, s % 60);
}

}  // namespace nibble::cli
