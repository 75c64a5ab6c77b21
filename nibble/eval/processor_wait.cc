#include "nibble/eval/processor_wait.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <system_error>

namespace nibble {

std::optional<double> seconds_without_processor() {
  namespace fs = std::filesystem;
  std::error_code error;
  std::optional<double> out;
  fs::directory_iterator threads("/proc/self/task", error), end;
  while (!error && threads != end) {
    // "ran waited times", the first two in nanoseconds. A thread that ended meanwhile has none.
    std::ifstream file(threads->path() / "schedstat");
    double ran = 0, waited = 0;
    if (file >> ran >> waited) out = out.value_or(0) + waited * 1e-9;
    threads.increment(error);
  }
  return out;
}

ProcessorWait::ProcessorWait()
    : start_(std::chrono::steady_clock::now()), before_(seconds_without_processor()) {}

double ProcessorWait::share(int threads) const {
  const std::optional<double> now = seconds_without_processor();
  const std::chrono::duration<double> wall = std::chrono::steady_clock::now() - start_;
  if (!before_ || !now || !(wall.count() > 0) || threads < 1) return 0;
  return std::clamp((*now - *before_) / (wall.count() * threads), 0.0, 1.0);
}

}  // namespace nibble
