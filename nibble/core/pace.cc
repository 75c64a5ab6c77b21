#include "nibble/core/pace.h"

#include <algorithm>
#include <utility>

namespace nibble {
namespace {

// Passes are judged together until they have taken so long: several turns of the scheduler.
constexpr double kJudged = 0.03;
// Threads that slept this share of their time might better be fewer.
constexpr double kWaited = 0.1;
// What is tried must be this much faster: fewer threads more clearly, because beside many
// neighbours all are slow by chance, and those that hold more cores get more of them.
constexpr double kFewerFaster = 1.1, kMoreFaster = 1.03;
constexpr double kFirstPause = 0.25, kLastPause = 2;

// A quarter fewer; where that was no faster, half of it each time, because one thread that waits
// for a core holds up any number of others.
int fewer(int threads, int failed) {
  return std::max(1, (threads - std::max(1, threads / 4)) >> failed);
}
int more(int threads) { return threads + std::max(1, threads / 3); }

}  // namespace

int Pace::threads(int most) {
  if (most != most_) {
    *this = Pace();
    most_ = threads_ = most;
  }
  return trial_ > 0 ? trial_ : threads_;
}

bool Pace::note(const Pass& pass) {
  // Another caller's, or fewer than were asked for.
  if (pass.threads != (trial_ > 0 ? trial_ : threads_)) return false;
  work_ += pass.work;
  seconds_ += pass.seconds;
  waited_ += pass.waited * pass.seconds;
  if (seconds_ < kJudged) return false;
  const int before = threads_;
  judge(work_ / seconds_, waited_ / seconds_, pass.end);
  work_ = seconds_ = waited_ = 0;
  return threads_ != before;
}

void Pace::suggest(const Pace& other) {
  if (other.most_ == most_ && other.threads_ != threads_) suggested_ = other.threads_;
}

void Pace::judge(double rate, double waited, double now) {
  const int tried = std::exchange(trial_, 0);
  if (tried == 0) {
    rate_ = rate;
    trial_ = std::exchange(suggested_, 0);
    if (trial_ == 0 && now >= next_) try_next(waited);
  } else if (rate > (tried < threads_ ? kFewerFaster : kMoreFaster) * rate_) {
    threads_ = tried;
    failed_ = 0;
    rate_ = rate;
    pause_ = 0;
    next_ = now;
  } else {
    failed_ = tried == 1 ? 0 : failed_ + (tried < threads_ ? 1 : 0);
    pause_ = std::clamp(2 * pause_, kFirstPause, kLastPause);
    next_ = now + pause_;
  }
}

void Pace::try_next(double waited) {
  if (waited > kWaited && threads_ > 1)
    trial_ = fewer(threads_, failed_);
  else if (threads_ < most_)
    trial_ = std::min(more(threads_), most_);
}

}  // namespace nibble
