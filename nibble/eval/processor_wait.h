// Whether something else kept the processors busy while a time was taken.
#pragma once

#include <chrono>
#include <optional>

namespace nibble {

/// Seconds that the threads of this process have stood ready to run without a processor, all of
/// them together since each began. Nothing where the system does not count them.
std::optional<double> seconds_without_processor();

/// Looks at it from its making on.
class ProcessorWait {
 public:
  ProcessorWait();
  /// The share of the time of `threads` threads that this was: 0 where it is not counted, at most
  /// 1.
  double share(int threads) const;

 private:
  std::chrono::steady_clock::time_point start_;
  std::optional<double> before_;
};

}  // namespace nibble
