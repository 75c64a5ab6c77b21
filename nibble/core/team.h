// Team: the threads that work on one thing together, in step. A pass over a model runs in one team
// from beginning to end; where results of others are needed, all of them sync().
#pragma once

#include <cstdint>
#include <utility>

namespace nibble {

class Team {
 public:
  int64_t rank() const { return rank_; }
  int64_t size() const { return size_; }
  /// Waits until every thread of the team has come here; what was written before is seen after.
  void sync();
  /// This thread's part [begin, end) of [0, count): parts differ by one at most, in order.
  std::pair<int64_t, int64_t> share(int64_t count) const {
    return {count * rank_ / size_, count * (rank_ + 1) / size_};
  }

 private:
  struct Barrier;
  using Body = void (*)(const void*, Team&);
  Team(Barrier* barrier, int64_t rank, int64_t size)
      : barrier_(barrier), rank_(rank), size_(size) {}
  static void run(int threads, Body body, const void* context);
  template <class F>
  friend void run_team(int threads, const F& body);

  Barrier* barrier_;
  int64_t rank_, size_;
};

/// Calls body(team) on `threads` threads (the caller is one of them) and returns when all have
/// returned. The body must not throw. With one thread it is a plain call.
template <class F>
void run_team(int threads, const F& body) {
  Team::run(
      threads, [](const void* context, Team& team) { (*static_cast<const F*>(context))(team); },
      &body);
}

}  // namespace nibble
