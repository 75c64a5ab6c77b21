// What a call knows of its surroundings: threads, who is told of its progress, who can stop it.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>

#include "nibble/api/error.h"
#include "nibble/api/export.h"

namespace nibble::api {

/// One step of something long.
struct Progress {
  std::string_view task;  ///< "quantize", "eval"; valid during the call only, as detail
  int64_t done = 0, total = 0;
  std::string_view detail;  ///< "loss 2.31"; may be empty
};

/// Asks calls to stop. Copies ask and are asked together.
class NIBBLE_API Stop {
 public:
  Stop();
  Stop(const Stop&);
  Stop& operator=(const Stop&);
  ~Stop();
  /// Whoever was given this ends with Error{cancelled} soon, its outputs not made. A signal handler
  /// may call it.
  void request(int signal = 2) noexcept;
  bool requested() const noexcept;
  /// For the library: what calls look at.
  const std::atomic<int>* flag() const noexcept { return flag_.get(); }

 private:
  std::shared_ptr<std::atomic<int>> flag_;
};

struct Control {
  int threads = 0;  ///< 0: as many as this process may use
  std::function<void(const Progress&)> progress = {};
  /// What is odd but not wrong, a line each; options are named by their fields, in backticks.
  std::function<void(std::string_view)> warning = {};
  Stop stop = {};
};

}  // namespace nibble::api
