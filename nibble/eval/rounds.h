// Timing pieces of work so that they can be compared: in rounds, in turn.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "nibble/core/exec.h"
#include "nibble/eval/latency.h"

namespace nibble {

/// As many rounds as enough_rounds() asks for.
inline constexpr int kEnoughRuns = -1;

struct RoundOptions {
  int runs = kEnoughRuns;  ///< timed rounds
  int warmup = 1;          ///< untimed ones before them
  std::string task = "time";
};

/// Whether medians and their intervals can stand on so many timed rounds: 9, and more until half a
/// second is spent, at most 1000; 6 where they took more than ten.
bool enough_rounds(int64_t rounds, double seconds);

/// Does its work once; what it learns counts only where `timed`.
using RoundWork = std::function<void(bool timed)>;

/// Every work once a round: in one round from first to last, in the next from last to first, so
/// that none always follows the same other, and what slows the machine for a while slows them all.
/// Returns the share of its threads' time that this process had no processor (ProcessorWait).
double run_rounds(const std::vector<RoundWork>& works, const RoundOptions& options,
                  const Exec& exec);

struct TimedRounds {
  std::vector<Latency> latencies;  ///< of each work, in their order, as many runs as rounds
  double waited_share = 0;
};
/// run_rounds() with a clock around each work.
TimedRounds time_rounds(const std::vector<std::function<void()>>& works,
                        const RoundOptions& options, const Exec& exec);

}  // namespace nibble
