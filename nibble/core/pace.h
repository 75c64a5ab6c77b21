// Pace: how many threads are fastest now, where other processes want the same cores.
#pragma once

#include <cstdint>

namespace nibble {

/// Chooses the number of threads for passes that come again and again. Threads that meet often wait
/// for whichever of them no core runs; then fewer may be faster. That is tried when they waited
/// long, and kept where it was faster; and from time to time more are tried again. Between trials
/// that fail, ever more time passes.
class Pace {
 public:
  /// One pass: its threads, how much work it was (any unit), when it ended, how long it took and
  /// the share of its threads' time that they slept, waiting for each other.
  struct Pass {
    int threads = 1;
    double work = 0, end = 0, seconds = 0, waited = 0;
  };

  /// Threads for the next pass, at most `most`, which is the first answer.
  int threads(int most);
  /// True where the number of threads has changed by it.
  bool note(const Pass& pass);
  /// Tries soon what other passes, which meet the same neighbours, have come to.
  void suggest(const Pace& other);

 private:
  void judge(double rate, double waited, double now);
  void try_next(double waited);

  int most_ = 0, threads_ = 1;
  int trial_ = 0;                               // threads that are being tried instead, 0: none
  int suggested_ = 0;                           // by others, to be tried next, 0: none
  int failed_ = 0;                              // trials of fewer, since one was faster
  double rate_ = 0;                             // work a second with threads_, measured last
  double pause_ = 0;                            // behind the last trial
  double next_ = 0;                             // when the next may begin
  double work_ = 0, seconds_ = 0, waited_ = 0;  // sums since the last judgement
};

}  // namespace nibble
