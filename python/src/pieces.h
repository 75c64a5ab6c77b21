// A text as it is written: an iterator of Python, filled by a thread of its own.
#pragma once

#include <nanobind/nanobind.h>

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "nibble/api/model.h"
#include "watch.h"

namespace nibble::python {

class Pieces {
 public:
  Pieces(std::shared_ptr<const api::Model> model, api::GenerateOptions options, int threads,
         nb::object message);
  /// Stops the writing where it is not done.
  ~Pieces();
  Pieces(const Pieces&) = delete;
  Pieces& operator=(const Pieces&) = delete;

  /// What was written next. Throws what the writing threw, or StopIteration.
  std::string next();
  /// Waits for the end. The iterator still gives every piece.
  const api::Generated& result();
  void close();

 private:
  void work(const api::Control& control);
  void take(std::string_view shown);
  // Until there is something to give, or nothing will be.
  void wait(bool to_the_end);
  void tell_messages();

  std::shared_ptr<const api::Model> model_;
  api::GenerateOptions options_;
  nb::object message_;
  api::Stop stop_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::string> pieces_, lines_;
  bool prompt_shown_ = false, done_ = false;
  std::string held_;  // a line's end, which the last piece brings and nobody wrote
  std::exception_ptr failed_;
  api::Generated made_;
  std::thread worker_;
};

}  // namespace nibble::python
