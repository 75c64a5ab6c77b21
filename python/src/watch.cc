#include "watch.h"

#include <nanobind/stl/string.h>

#include <csignal>
#include <thread>
#include <utility>

#include "errors.h"

namespace nibble::python {

void check_signals() {
  if (PyErr_CheckSignals() != 0) throw nb::python_error();
}

Watch::Watch(nb::object progress, nb::object message)
    : progress_(std::move(progress)), message_(std::move(message)) {}

void Watch::progress(std::string_view task, int64_t done, int64_t total, std::string_view detail) {
  const std::lock_guard lock(mutex_);
  step_ = Step{std::string(task), std::string(detail), done, total};
  changed_.notify_one();
}

void Watch::message(std::string_view line) {
  const std::lock_guard lock(mutex_);
  lines_.emplace_back(line);
  changed_.notify_one();
}

api::Control Watch::control(int threads) {
  api::Control out;
  out.threads = threads;
  out.stop = stop_;
  if (wants_progress())
    out.progress = [this](const api::Progress& p) { progress(p.task, p.done, p.total, p.detail); };
  out.warning = [this](std::string_view line) { message("nibble: warning: " + std::string(line)); };
  return out;
}

bool Watch::wait(std::optional<Step>& step, std::deque<std::string>& lines) {
  const nb::gil_scoped_release unlocked;
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, kLook, [&] { return done_ || step_ || !lines_.empty(); });
  step = std::exchange(step_, std::nullopt);
  lines = std::exchange(lines_, {});
  return done_;
}

void Watch::call_back(const std::optional<Step>& step, const std::deque<std::string>& lines) {
  check_signals();
  for (const std::string& line : lines) {
    if (!message_.is_none()) message_(in_keywords(line));
  }
  if (step && wants_progress()) progress_(step->task, step->done, step->total, step->detail);
}

void Watch::run(const std::function<void()>& work) {
  std::exception_ptr failed;
  std::thread worker([&] {
    try {
      work();
    } catch (...) {
      failed = std::current_exception();
    }
    const std::lock_guard lock(mutex_);
    done_ = true;
    changed_.notify_one();
  });
  std::exception_ptr raised;
  for (bool done = false; !done;) {
    std::optional<Step> step;
    std::deque<std::string> lines;
    done = wait(step, lines);
    if (raised) continue;
    try {
      call_back(step, lines);
    } catch (...) {
      raised = std::current_exception();
      stop_.request(SIGINT);
    }
  }
  worker.join();
  if (raised) std::rethrow_exception(raised);
  if (failed) std::rethrow_exception(failed);
}

}  // namespace nibble::python
