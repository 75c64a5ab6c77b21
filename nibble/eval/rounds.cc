#include "nibble/eval/rounds.h"

#include <algorithm>
#include <chrono>

#include "nibble/eval/processor_wait.h"

namespace nibble {
namespace {

using Clock = std::chrono::steady_clock;
// Rounds whose interval leaves out the quickest and the slowest; that give one at all; most.
constexpr int64_t kGood = 9, kFew = 6, kMost = 1000;
constexpr double kBrief = 0.5, kPatience = 10;  // seconds

double seconds_since(Clock::time_point t) {
  return std::chrono::duration<double>(Clock::now() - t).count();
}

void run_round(const std::vector<RoundWork>& works, int64_t round, bool timed, const Exec& exec) {
  for (size_t i = 0; i < works.size(); ++i) {
    exec.check_stop();
    works[round % 2 == 0 ? i : works.size() - 1 - i](timed);
  }
}

}  // namespace

bool enough_rounds(int64_t rounds, double seconds) {
  return rounds >= kMost || (rounds >= kGood && seconds > kBrief) ||
         (rounds >= kFew && seconds > kPatience);
}

double run_rounds(const std::vector<RoundWork>& works, const RoundOptions& o, const Exec& exec) {
  const int64_t wanted = o.runs == kEnoughRuns ? kGood : o.runs;
  for (int64_t i = 0; i < o.warmup; ++i) {
    run_round(works, i, false, exec);
    exec.report({o.task, i + 1, wanted + o.warmup, {}});
  }
  const ProcessorWait wait;
  const auto start = Clock::now();
  for (int64_t round = 0;; ++round) {
    const double spent = seconds_since(start);
    if (o.runs == kEnoughRuns ? enough_rounds(round, spent) : round >= o.runs) break;
    run_round(works, round, true, exec);
    const int64_t done = round + 1 + o.warmup;
    exec.report({o.task, done, std::max(done, wanted + o.warmup), {}});
  }
  return wait.share(exec.threads);
}

TimedRounds time_rounds(const std::vector<std::function<void()>>& works, const RoundOptions& o,
                        const Exec& exec) {
  TimedRounds out;
  out.latencies.resize(works.size());
  std::vector<RoundWork> timed_works;
  for (size_t i = 0; i < works.size(); ++i) {
    timed_works.push_back([&, i](bool timed) {
      const auto start = Clock::now();
      works[i]();
      const double seconds = seconds_since(start);
      if (timed) out.latencies[i].seconds.push_back(seconds);
    });
  }
  out.waited_share = run_rounds(timed_works, o, exec);
  return out;
}

}  // namespace nibble
