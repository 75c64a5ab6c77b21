// Team: the threads that work on one thing together, in step. A pass over a model runs in one team
// from beginning to end; where results of others are needed, all of them sync().
#pragma once

#include <chrono>
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
  std::pair<int64_t, int64_t> share(int64_t count) const { return share_of(rank_, count); }
  /// Pieces of work that are nobody's in particular: every thread calls it with the same count, and
  /// f(i) is called once for each 0 <= i < count, on whichever thread is free: its share first,
  /// then what others have not begun. A thread that no core runs keeps back one piece at most.
  /// Others may still be at theirs when it returns: sync before results are read. count is below
  /// 2^32.
  template <class F>
  void pieces(int64_t count, const F& f) {
    if (size_ == 1) {
      for (int64_t i = 0; i < count; ++i) f(i);
      return;
    }
    ++loops_;
    for (int64_t i = 0; i < size_; ++i) {
      const int64_t owner = (rank_ + i) % size_;
      for (int64_t piece = take(owner, count); piece >= 0; piece = take(owner, count)) f(piece);
    }
  }

 private:
  struct Shared;
  using Body = void (*)(const void*, Team&);
  Team(Shared* shared, int64_t rank, int64_t size) : shared_(shared), rank_(rank), size_(size) {}
  static void run(int threads, int64_t work, Body body, const void* context);
  static void run_all(int threads, Shared& shared);
  static void run_one(Shared& shared, int64_t rank, int64_t size) noexcept;
  template <class F>
  friend void run_team(int threads, int64_t work, const F& body);

  std::pair<int64_t, int64_t> share_of(int64_t rank, int64_t count) const {
    return {count * rank / size_, count * (rank + 1) / size_};
  }
  int64_t take(int64_t owner, int64_t count);

  Shared* shared_;
  int64_t rank_, size_;
  uint32_t loops_ = 0;                 // pieces() that this thread has come to
  std::chrono::nanoseconds slept_{0};  // waiting for others
};

/// Calls body(team) on `threads` threads (the caller is one of them; there may be fewer) and
/// returns when all have returned. With one thread it is a plain call; inside another team or a
/// parallel_for there is one. What a body throws ends the others at their next sync() and comes
/// out, of several the lowest rank's.
template <class F>
void run_team(int threads, const F& body);

/// The same for passes that come again and again: where threads wait for each other because other
/// processes want their cores, it goes on with fewer as long as those are faster (pace.h). `work`,
/// in multiplications, says which passes are alike, and how much of one another is.
template <class F>
void run_team(int threads, int64_t work, const F& body) {
  Team::run(
      threads, work,
      [](const void* context, Team& team) { (*static_cast<const F*>(context))(team); }, &body);
}

template <class F>
void run_team(int threads, const F& body) {
  run_team(threads, 0, body);
}

}  // namespace nibble
