// Threads in step: what they see of each other behind a barrier, pieces, errors.
#include "nibble/core/team.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include "nibble/core/bell.h"
#include "nibble/core/error.h"
#include "nibble/core/parallel.h"

namespace nibble {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::nanoseconds kNotAwake{0};

TEST(Bell, WakesWhoSleeps) {
  constexpr uint32_t kRings = 5000;
  Bell there, back;
  std::thread other([&] {
    for (uint32_t i = 0; i < kRings; ++i) {
      there.wait(i, kNotAwake);
      back.ring();
    }
  });
  for (uint32_t i = 0; i < kRings; ++i) {
    there.ring();
    back.wait(i, kNotAwake);
  }
  other.join();
  EXPECT_EQ(there.rings(), kRings);
  EXPECT_EQ(back.rings(), kRings);
}

TEST(Bell, SaysHowLongItSlept) {
  Bell bell;
  bell.ring();
  EXPECT_EQ(bell.wait(0, kNotAwake), kNotAwake);
  std::thread other([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    bell.ring();
  });
  EXPECT_GT(bell.wait(1, kNotAwake), kNotAwake);
  other.join();
}

// Many more threads than cores, so that they sleep and wake all the time.
TEST(Team, WhatWasWrittenBeforeABarrierIsSeenBehindIt) {
  for (const int threads : {1, 2, 3, 8, 32}) {
    std::vector<int> values(static_cast<size_t>(threads));
    std::atomic<int> wrong{0};
    run_team(threads, [&](Team& team) {
      const auto me = static_cast<size_t>(team.rank()), size = static_cast<size_t>(team.size());
      for (int round = 1; round <= 300; ++round) {
        values[me] = round;
        team.sync();
        if (values[(me + 1) % size] != round) ++wrong;
        team.sync();
      }
    });
    EXPECT_EQ(wrong, 0) << threads;
  }
}

TEST(Team, SharesAreEverythingOnce) {
  for (const int threads : {1, 2, 3, 7}) {
    for (const int64_t count : {0, 1, 6, 100}) {
      std::vector<std::atomic<int>> seen(static_cast<size_t>(count));
      run_team(threads, [&](Team& team) {
        const auto [begin, end] = team.share(count);
        for (int64_t i = begin; i < end; ++i) ++seen[static_cast<size_t>(i)];
      });
      for (const auto& s : seen) EXPECT_EQ(s, 1);
    }
  }
}

TEST(Team, EveryPieceOnceLoopAfterLoop) {
  for (const int threads : {1, 2, 3, 8}) {
    constexpr int64_t kLoops = 200;
    std::vector<std::vector<std::atomic<int>>> seen(kLoops);
    for (int64_t loop = 0; loop < kLoops; ++loop)
      seen[static_cast<size_t>(loop)] =
          std::vector<std::atomic<int>>(static_cast<size_t>(loop % 23));
    run_team(threads, [&](Team& team) {
      for (auto& loop : seen) {
        // Now and then without a barrier: a thread may be in the next loop already.
        team.pieces(std::ssize(loop), [&](int64_t i) { ++loop[static_cast<size_t>(i)]; });
        if (loop.size() % 3 == 0) team.sync();
      }
    });
    for (const auto& loop : seen) {
      for (const auto& s : loop) EXPECT_EQ(s, 1);
    }
  }
}

// Waits for something that another thread brings about; false where it does not come.
template <class F>
bool comes(F f) {
  const auto limit = Clock::now() + std::chrono::seconds(30);
  while (!f() && Clock::now() < limit) std::this_thread::yield();
  return f();
}

TEST(Team, AThreadThatIsDelayedKeepsOnePiece) {
  constexpr int64_t kPieces = 40;
  std::atomic<int64_t> by_others{0}, by_one{0};
  run_team(3, [&](Team& team) {
    team.pieces(kPieces, [&](int64_t) {
      if (team.rank() == 1) {
        ++by_one;
        EXPECT_TRUE(comes([&] { return by_others == kPieces - 1; }));
      } else {
        EXPECT_TRUE(comes([&] { return by_one == 1; }));
        ++by_others;
      }
    });
  });
  EXPECT_EQ(by_one, 1);
  EXPECT_EQ(by_others, kPieces - 1);
}

TEST(Team, InsideAnotherThereIsOneThread) {
  std::atomic<int> bodies{0};
  run_team(3, [&](Team&) {
    run_team(3, [&](Team& inner) {
      EXPECT_EQ(inner.size(), 1);
      inner.sync();
      inner.pieces(2, [&](int64_t) { ++bodies; });
    });
  });
  EXPECT_EQ(bodies, 6);
  bodies = 0;
  parallel_for(4, 2, [&](int64_t) { run_team(3, [&](Team& t) { bodies += t.size() == 1; }); });
  EXPECT_EQ(bodies, 4);
}

std::string error_of(int threads, const std::function<void(Team&)>& body) {
  try {
    run_team(threads, body);
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

TEST(Team, AnErrorEndsTheOthersAtTheirBarrierAndComesOut) {
  for (const int threads : {1, 2, 5}) {
    for (int round = 0; round < 50; ++round) {
      const int64_t fails = round % threads;
      const std::string what = error_of(threads, [&](Team& team) {
        team.sync();
        if (team.rank() == fails) throw corrupt("broken");
        for (int i = 0; i < 3; ++i) team.sync();
      });
      EXPECT_EQ(what, "broken") << threads;
    }
  }
}

TEST(Team, OfSeveralErrorsTheLowestRanks) {
  for (int round = 0; round < 50; ++round) {
    EXPECT_EQ(error_of(4, [](Team& t) { throw corrupt(std::to_string(t.rank())); }), "0");
  }
}

TEST(Team, AnErrorInAPieceComesOut) {
  for (const int threads : {1, 3}) {
    EXPECT_THROW(run_team(threads,
                          [](Team& team) {
                            team.pieces(9, [](int64_t i) {
                              if (i == 4) throw std::bad_alloc();
                            });
                            team.sync();
                          }),
                 std::bad_alloc);
  }
}

}  // namespace
}  // namespace nibble
