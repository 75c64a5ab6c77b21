// Work that Python waits for: it runs on a thread of its own without the interpreter's lock, while
// the caller's thread hears Ctrl-C and calls back what the work has to say.
#pragma once

#include <nanobind/nanobind.h>

#include <chrono>
#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "nibble/api/control.h"

namespace nibble::python {

namespace nb = nanobind;

/// How long Ctrl-C may wait for being heard.
inline constexpr std::chrono::milliseconds kLook{50};

class Watch {
 public:
  Watch() : Watch(nb::none(), nb::none()) {}
  /// `progress`(task, done, total, detail) and `message`(line) may be None.
  Watch(nb::object progress, nb::object message);

  /// Runs `work` to its end. Where a callback raises, or a signal's handler does, the work is asked
  /// to stop, waited for, and that is thrown; else what the work threw.
  void run(const std::function<void()>& work);

  /// For the work: what it may be stopped by, and whom it tells. Its thread needs no lock for them.
  const api::Stop& stop() const { return stop_; }
  bool wants_progress() const { return !progress_.is_none(); }
  void progress(std::string_view task, int64_t done, int64_t total, std::string_view detail);
  void message(std::string_view line);
  /// All of it as the library takes it.
  api::Control control(int threads);

 private:
  struct Step {
    std::string task, detail;
    int64_t done = 0, total = 0;
  };
  // What is waiting to be told; true where the work is done.
  bool wait(std::optional<Step>& step, std::deque<std::string>& lines);
  void call_back(const std::optional<Step>& step, const std::deque<std::string>& lines);

  nb::object progress_, message_;
  api::Stop stop_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<Step> step_;  // the latest: one that nobody has seen yet makes way for the next
  std::deque<std::string> lines_;
  bool done_ = false;
};

/// Throws what a signal's handler raised, if one did.
void check_signals();

}  // namespace nibble::python
