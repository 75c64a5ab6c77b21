#include "pieces.h"

#include <nanobind/stl/string.h>

#include <csignal>
#include <utility>

#include "errors.h"

namespace nibble::python {

Pieces::Pieces(std::shared_ptr<const api::Model> model, api::GenerateOptions options, int threads,
               nb::object message)
    : model_(std::move(model)), options_(std::move(options)), message_(std::move(message)) {
  api::Control control;
  control.threads = threads;
  control.stop = stop_;
  control.warning = [this](std::string_view line) {
    const std::lock_guard lock(mutex_);
    lines_.push_back("nibble: warning: " + std::string(line));
    changed_.notify_one();
  };
  worker_ = std::thread([this, control] { work(control); });
}

Pieces::~Pieces() { close(); }

void Pieces::close() {
  stop_.request(SIGINT);
  if (!worker_.joinable()) return;
  const nb::gil_scoped_release unlocked;
  worker_.join();
}

void Pieces::work(const api::Control& control) {
  api::Generated made;
  std::exception_ptr failed;
  try {
    made = model_->generate(options_, control, [this](std::string_view shown) { take(shown); });
  } catch (...) {
    failed = std::current_exception();
  }
  const std::lock_guard lock(mutex_);
  made_ = std::move(made);
  failed_ = failed;
  done_ = true;
  changed_.notify_one();
}

// The prompt comes first and a line's end last; between them stands what the model writes.
void Pieces::take(std::string_view shown) {
  const std::lock_guard lock(mutex_);
  if (!std::exchange(prompt_shown_, true)) return;
  std::string piece = std::exchange(held_, {}) + std::string(shown);
  if (piece.ends_with('\n')) {
    held_ = "\n";
    piece.pop_back();
  }
  if (piece.empty()) return;
  pieces_.push_back(std::move(piece));
  changed_.notify_one();
}

void Pieces::wait(bool to_the_end) {
  while (true) {
    {
      const nb::gil_scoped_release unlocked;
      std::unique_lock lock(mutex_);
      changed_.wait_for(lock, kLook, [&] {
        return done_ || (!to_the_end && !pieces_.empty()) || !lines_.empty();
      });
    }
    try {
      check_signals();
    } catch (nb::python_error&) {
      close();
      throw;
    }
    tell_messages();
    const std::lock_guard lock(mutex_);
    if (done_ || (!to_the_end && !pieces_.empty())) return;
  }
}

void Pieces::tell_messages() {
  std::deque<std::string> lines;
  {
    const std::lock_guard lock(mutex_);
    lines.swap(lines_);
  }
  for (const std::string& line : lines) {
    if (!message_.is_none()) message_(in_keywords(line));
  }
}

std::string Pieces::next() {
  wait(false);
  std::unique_lock lock(mutex_);
  if (!pieces_.empty()) {
    std::string out = std::move(pieces_.front());
    pieces_.pop_front();
    return out;
  }
  if (failed_ && !stop_.requested()) std::rethrow_exception(failed_);
  throw nb::stop_iteration();
}

const api::Generated& Pieces::result() {
  wait(true);
  if (failed_) std::rethrow_exception(failed_);
  return made_;
}

}  // namespace nibble::python
