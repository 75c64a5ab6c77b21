// Work is timed in turn, as often as it takes, and a busy machine is noticed.
#include "nibble/eval/rounds.h"

#include <gtest/gtest.h>
#include <pthread.h>
#include <sched.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <string>
#include <thread>

#include "nibble/core/error.h"
#include "nibble/eval/processor_wait.h"
#include "tests/support/expect_error.h"

namespace nibble {
namespace {

TEST(Rounds, TakeTurns) {
  std::string order;
  std::vector<RoundWork> works;
  for (const char name : {'a', 'b', 'c'}) {
    works.push_back(
        [&order, name](bool timed) { order += static_cast<char>(timed ? name : name - 32); });
  }
  run_rounds(works, {.runs = 4, .warmup = 2}, Exec{});
  EXPECT_EQ(order, "ABCCBAabccbaabccba");
}

TEST(Rounds, TimeEachWorkInEachRound) {
  using std::chrono::milliseconds;
  const auto sleep = [](int ms) { return [ms] { std::this_thread::sleep_for(milliseconds(ms)); }; };
  const TimedRounds found = time_rounds({sleep(1), sleep(5)}, {.runs = 6, .warmup = 0}, Exec{});
  ASSERT_EQ(found.latencies.size(), 2u);
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(found.latencies[i].runs(), 6);
    EXPECT_GE(found.latencies[i].minimum(), i == 0 ? 0.001 : 0.005);
  }
}

TEST(Rounds, AreEnoughAtSomePoint) {
  EXPECT_FALSE(enough_rounds(8, 9));
  EXPECT_FALSE(enough_rounds(9, 0.4));
  EXPECT_TRUE(enough_rounds(9, 0.6));
  EXPECT_FALSE(enough_rounds(5, 1000));
  EXPECT_TRUE(enough_rounds(6, 11));
  EXPECT_FALSE(enough_rounds(999, 0.01));
  EXPECT_TRUE(enough_rounds(1000, 0.01));
}

TEST(Rounds, OfNoTimeAtAllAreAThousand) {
  const TimedRounds found = time_rounds({[] {}}, {}, Exec{});
  EXPECT_LE(found.latencies[0].runs(), 1000);
  EXPECT_GE(found.latencies[0].runs(), 9);
}

TEST(Rounds, StopWhenAsked) {
  const std::atomic<int> stop{SIGINT};
  Exec exec;
  exec.stop_signal = &stop;
  bool worked = false;
  test::expect_error(ErrorKind::cancelled, "",
                     [&] { time_rounds({[&] { worked = true; }}, {}, exec); });
  EXPECT_FALSE(worked);
}

void spin_on(int cpu, double seconds) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
  const auto start = std::chrono::steady_clock::now();
  while (std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() < seconds)
    continue;
}

// Two threads that spin on one processor: each waits while the other runs, half of the time.
TEST(ProcessorWait, SeesThatThreadsHaveNoProcessor) {
  if (!seconds_without_processor()) GTEST_SKIP() << "this system does not count it";
  const ProcessorWait wait;
  const int cpu = sched_getcpu();
  std::atomic<int> done{0};
  std::atomic<bool> leave{false};
  const auto body = [&] {
    spin_on(cpu, 0.3);
    ++done;
    while (!leave) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  };
  std::thread one(body), other(body);
  while (done < 2) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  const double share = wait.share(2);
  leave = true;
  one.join();
  other.join();
  EXPECT_GT(share, 0.3);
  EXPECT_LE(share, 1);
}

TEST(ProcessorWait, OnlyGrows) {
  const auto before = seconds_without_processor(), after = seconds_without_processor();
  if (!before) GTEST_SKIP() << "this system does not count it";
  ASSERT_TRUE(after);
  EXPECT_GE(*before, 0);
  EXPECT_GE(*after, *before);
}

}  // namespace
}  // namespace nibble
