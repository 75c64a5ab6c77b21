// The number of threads that a pass goes on with, on machines that are made up.
#include "nibble/core/pace.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>

namespace nibble {
namespace {

// Threads that wait for each other: how fast so many are, and the share of their time they sleep.
struct Machine {
  std::function<double(int)> rate;
  std::function<double(int)> waited;
};

Machine idle() {
  return {[](int k) { return 0.9 * k + 0.1; }, [](int) { return 0.0; }};
}

// Some cores are taken: as many threads as there are others run as well as on an idle machine; with
// more, each waits for those that share a core.
Machine crowded(int cores) {
  return {[cores](int k) { return k <= cores ? 0.9 * k + 0.1 : 0.3; },
          [cores](int k) { return k <= cores ? 0.0 : 0.5; }};
}

// Waiting, but still the faster the more there are.
Machine uneven() {
  return {[](int k) { return std::sqrt(k); }, [](int k) { return k > 1 ? 0.3 : 0.0; }};
}

// Runs passes of 2 ms at rate 1 for so long; returns the work done a second.
class Simulation {
 public:
  explicit Simulation(int most) : most_(most) {}
  double run(const Machine& machine, double seconds) {
    constexpr double kWork = 0.002;
    const double end = now_ + seconds, begin = now_;
    double done = 0;
    while (now_ < end) {
      const int k = pace.threads(most_);
      EXPECT_GE(k, 1);
      EXPECT_LE(k, most_);
      const double took = kWork / machine.rate(k);
      now_ += took;
      done += kWork;
      pace.note({k, kWork, now_, took, machine.waited(k)});
    }
    return done / (now_ - begin);
  }
  int threads() { return pace.threads(most_); }
  Pace pace;

 private:
  int most_;
  double now_ = 1000;
};

TEST(Pace, AnIdleMachineIsUsedWhole) {
  for (const int most : {1, 2, 16}) {
    Simulation s(most);
    EXPECT_NEAR(s.run(idle(), 3), idle().rate(most), 1e-9) << "nothing is tried";
  }
}

TEST(Pace, FewerWhereCoresAreTakenAndAllAgainWhenTheyAreFree) {
  for (const auto& [most, cores] : {std::pair{2, 1}, {4, 2}, {16, 15}, {16, 8}, {16, 1}}) {
    SCOPED_TRACE(most * 100 + cores);
    Simulation s(most);
    s.run(idle(), 1);
    s.run(crowded(cores), 10);
    // The steps are a quarter: within that of the best, and trials cost little.
    EXPECT_GE(s.run(crowded(cores), 10), 0.7 * crowded(cores).rate(cores));
    s.run(idle(), 5);
    EXPECT_EQ(s.threads(), most);
  }
}

TEST(Pace, OneNeighbourOnTwoCoresCostsLittleMoreThanItsCore) {
  Simulation s(2);
  EXPECT_GE(s.run(crowded(1), 1), 0.85 * crowded(1).rate(1));
  EXPECT_GE(s.run(crowded(1), 10), 0.97 * crowded(1).rate(1));
}

TEST(Pace, WaitingAloneIsNoReason) {
  Simulation s(4);
  EXPECT_GE(s.run(uneven(), 10), 0.97 * uneven().rate(4));
}

TEST(Pace, AnotherLimitBeginsAnew) {
  Simulation s(2);
  s.run(crowded(1), 5);
  EXPECT_EQ(s.pace.threads(3), 3);
}

TEST(Pace, WhatOthersCameToIsTriedAndKeptOnlyWhereItIsFaster) {
  for (const bool busy : {false, true}) {
    const Machine machine = busy ? crowded(1) : idle();
    Simulation learnt(2), next(2);
    learnt.run(crowded(1), 1);
    ASSERT_EQ(learnt.threads(), 1);
    next.run(idle(), 0.1);
    next.pace.suggest(learnt.pace);
    next.run(machine, 0.04);
    EXPECT_EQ(next.threads(), 1) << "as a trial";
    next.run(machine, 0.5);
    EXPECT_EQ(next.threads(), busy ? 1 : 2);
    Simulation other(3);
    other.run(idle(), 0.1);
    other.pace.suggest(learnt.pace);
    EXPECT_EQ(other.threads(), 3) << "of another limit";
  }
}

TEST(Pace, PassesOfOthersDoNotCount) {
  Pace pace;
  EXPECT_EQ(pace.threads(2), 2);
  for (int i = 0; i < 1000; ++i) pace.note({1, 1, i * 0.01, 0.01, 0.9});
  EXPECT_EQ(pace.threads(2), 2);
}

}  // namespace
}  // namespace nibble
