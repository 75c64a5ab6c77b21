// What a computation knows of its surroundings.
#include "nibble/core/exec.h"

#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <vector>

#include "nibble/core/error.h"
#include "tests/support/expect_error.h"

namespace nibble {
namespace {

TEST(Exec, StopsWithTheSignal) {
  Exec exec;
  EXPECT_FALSE(exec.stopping());
  EXPECT_NO_THROW(exec.check_stop());
  std::atomic<int> signal{0};
  exec.stop_signal = &signal;
  EXPECT_NO_THROW(exec.check_stop());
  for (const int number : {2, 15}) {
    signal = number;
    EXPECT_TRUE(exec.stopping());
    const std::string words = "stopped by signal " + std::to_string(number);
    test::expect_error(ErrorKind::cancelled, words, [&] { exec.check_stop(); });
    test::expect_error(ErrorKind::cancelled, words, [&] { exec.single().check_stop(); });
  }
}

TEST(Exec, ReportsWhereSomebodyListens) {
  Exec exec;
  EXPECT_NO_THROW(exec.report({"train", 1, 2, {}}));
  std::vector<std::string> heard;
  exec.progress = [&](const Progress& p) {
    heard.push_back(std::string(p.task) + " " + std::to_string(p.done) + "/" +
                    std::to_string(p.total) + p.detail);
  };
  exec.report({"train", 1, 2, ", loss 3"});
  EXPECT_EQ(heard, std::vector<std::string>{"train 1/2, loss 3"});
}

TEST(Exec, InsideAParallelRegionThereIsOneThreadAndNobodyListens) {
  std::atomic<int> signal{0};
  Exec exec;
  exec.threads = 8;
  exec.progress = [](const Progress&) { FAIL(); };
  exec.stop_signal = &signal;
  const Exec one = exec.single();
  EXPECT_EQ(one.threads, 1);
  EXPECT_EQ(one.stop_signal, &signal);
  one.report({"nothing", 0, 0, {}});
}

}  // namespace
}  // namespace nibble
