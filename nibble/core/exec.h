// Exec: everything a computation needs to know of its surroundings, handed down explicitly.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace nibble {

/// One step of something long: shown as a bar by the command, recorded by tests.
struct Progress {
  std::string_view task;  ///< "train", "quantize", "measure int4:g16"
  int64_t done = 0;
  int64_t total = 0;
  std::string detail;  ///< "loss 2.31, 812,000 tokens/s"
};

struct Exec {
  /// At most so many threads work on something at once; who helps is the Executor's (executor.h).
  int threads = 1;
  std::function<void(const Progress&)> progress;
  /// Set by a signal handler to the signal's number; 0 means go on.
  const std::atomic<int>* stop_signal = nullptr;

  void report(const Progress& p) const {
    if (progress) progress(p);
  }
  bool stopping() const {
    return stop_signal != nullptr && stop_signal->load(std::memory_order_relaxed) != 0;
  }
  /// Throws Error{cancelled} where a stop was asked for. Never call it inside a parallel region.
  void check_stop() const;
  /// The same surroundings with one thread, for work inside a parallel region.
  Exec single() const;
};

/// As many as there are processors that this process may run on, by its affinity and by the quota
/// of its control group; or what OMP_NUM_THREADS says.
int default_threads();

}  // namespace nibble
