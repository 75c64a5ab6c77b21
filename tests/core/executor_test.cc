// The threads that help: how many, who they are, and what happens where they cannot be made.
#include "nibble/core/executor.h"

#include <gtest/gtest.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <fstream>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

#include "tests/support/command.h"

namespace nibble {
namespace {

// Who took part in a call.
struct Roll {
  std::mutex mutex;
  std::multiset<int64_t> ranks;
  std::set<std::thread::id> threads;
  int64_t size = 0;

  void note(int64_t rank, int64_t of) {
    const std::lock_guard lock(mutex);
    ranks.insert(rank);
    threads.insert(std::this_thread::get_id());
    size = of;
  }
};

void note(void* roll, int64_t rank, int64_t size) noexcept {
  static_cast<Roll*>(roll)->note(rank, size);
}

std::multiset<int64_t> first_ranks(int64_t count) {
  std::multiset<int64_t> out;
  for (int64_t i = 0; i < count; ++i) out.insert(i);
  return out;
}

TEST(Executor, EveryRankOnceEachOnAThreadOfItsOwn) {
  for (const int threads : {1, 2, 5, 33}) {
    for (int round = 0; round < 20; ++round) {
      Roll roll;
      Executor::run(threads, Executor::Helpers::all, note, &roll);
      EXPECT_EQ(roll.size, threads);
      EXPECT_EQ(roll.ranks, first_ranks(threads));
      EXPECT_EQ(roll.threads.size(), static_cast<size_t>(threads));
      EXPECT_TRUE(roll.threads.contains(std::this_thread::get_id()));
    }
  }
}

TEST(Executor, TheSameHelpersComeBack) {
  Roll roll;
  for (int round = 0; round < 50; ++round) Executor::run(4, Executor::Helpers::all, note, &roll);
  EXPECT_EQ(roll.threads.size(), 4U);
}

TEST(Executor, FewerThanOneThreadIsTheCaller) {
  for (const int threads : {-1, 0, 1}) {
    Roll roll;
    Executor::run(threads, Executor::Helpers::all, note, &roll);
    EXPECT_EQ(roll.ranks, first_ranks(1));
    EXPECT_EQ(Executor::reserve(threads), 1);
  }
}

TEST(Executor, InsideABodyThereIsOneThread) {
  static std::atomic<int> inner;
  inner = 0;
  EXPECT_FALSE(Executor::inside());
  Executor::run(
      3, Executor::Helpers::all,
      [](void*, int64_t, int64_t) noexcept {
        EXPECT_TRUE(Executor::inside());
        Executor::run(
            3, Executor::Helpers::all,
            [](void*, int64_t rank, int64_t size) noexcept {
              EXPECT_EQ(rank, 0);
              EXPECT_EQ(size, 1);
              ++inner;
            },
            nullptr);
      },
      nullptr);
  EXPECT_EQ(inner, 3);
  EXPECT_FALSE(Executor::inside());
}

TEST(Executor, CallersAtTheSameTimeGetHelpersOfTheirOwn) {
  std::vector<std::thread> callers;
  for (int caller = 0; caller < 4; ++caller) {
    callers.emplace_back([] {
      for (int round = 0; round < 200; ++round) {
        Roll roll;
        Executor::run(3, Executor::Helpers::all, note, &roll);
        EXPECT_EQ(roll.ranks, first_ranks(3));
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
}

TEST(Executor, AHelperThatIsLateIsLeftOutOnlyWhereThatWasSaid) {
  struct Call {
    std::atomic<int> ran{0};
  };
  for (int round = 0; round < 2000; ++round) {
    Call call;
    Executor::run(
        3, Executor::Helpers::those_in_time,
        [](void* c, int64_t, int64_t) noexcept { ++static_cast<Call*>(c)->ran; }, &call);
    const int ran = call.ran;
    EXPECT_GE(ran, 1);
    EXPECT_LE(ran, 3);
    Executor::run(
        3, Executor::Helpers::all,
        [](void* c, int64_t, int64_t) noexcept { ++static_cast<Call*>(c)->ran; }, &call);
    EXPECT_EQ(call.ran, ran + 3);
  }
}

TEST(Executor, HelpersLeaveSignalsToTheProgramsThreads) {
  static std::atomic<int> blocked;
  blocked = 0;
  Executor::run(
      3, Executor::Helpers::all,
      [](void*, int64_t rank, int64_t) noexcept {
        sigset_t set;
        pthread_sigmask(SIG_BLOCK, nullptr, &set);
        if (rank > 0 && sigismember(&set, SIGINT) && !sigismember(&set, SIGBUS)) ++blocked;
      },
      nullptr);
  EXPECT_EQ(blocked, 2);
}

// Runs f in a child and gives its exit code; -1 where a signal ended it.
template <class F>
int in_child(F f) {
  const pid_t child = fork();
  if (child == 0) {
    alarm(60);
    _exit(f());
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(Executor, AChildMadeByForkHasHelpersOfItsOwn) {
  Executor::reserve(3);
  const int found = in_child([] {
    Roll roll;
    Executor::run(3, Executor::Helpers::all, note, &roll);
    return static_cast<int>(roll.threads.size());
  });
  EXPECT_EQ(found, 3);
}

int64_t address_space() {
  int64_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  return pages * sysconf(_SC_PAGESIZE);
}

TEST(Executor, FewerWhereThereIsNoRoomForMore) {
  if (test::kSanitized) GTEST_SKIP() << "the sanitizer's shadow needs the address space";
  const int code = in_child([] {
    const auto most = static_cast<rlim_t>(address_space()) + (rlim_t{64} << 20);
    const rlimit limit{most, most};
    if (setrlimit(RLIMIT_AS, &limit) != 0) return 2;
    const int threads = Executor::reserve(4096);
    if (threads < 2 || threads > 33) return 3;
    if (Executor::reserve(4096) != threads) return 4;
    std::vector<char> left(16 << 20);  // half of what helpers took is there for other things
    Roll roll;
    Executor::run(4096, Executor::Helpers::all, note, &roll);
    return roll.ranks == first_ranks(threads) ? 0 : 5;
  });
  EXPECT_EQ(code, 0);
}

}  // namespace
}  // namespace nibble
