// Loops over threads whose bodies throw.
#include "nibble/core/parallel.h"

#include <gtest/gtest.h>

#include <new>
#include <string>
#include <vector>

#include "nibble/core/error.h"

namespace nibble {
namespace {

TEST(Parallel, EveryIndexOnce) {
  for (const int threads : {1, 3}) {
    std::vector<int> seen(100);
    parallel_for(100, threads, [&](int64_t i) { ++seen[static_cast<size_t>(i)]; });
    EXPECT_EQ(seen, std::vector<int>(100, 1));
    parallel_for(0, threads, [](int64_t) { FAIL(); });
  }
}

TEST(Parallel, TheErrorOfTheLowestIndexComesOut) {
  for (const int threads : {1, 4}) {
    for (int round = 0; round < 20; ++round) {
      std::string what;
      try {
        parallel_for(64, threads, [](int64_t i) {
          if (i % 8 == 5) throw corrupt(std::to_string(i));
        });
      } catch (const Error& e) {
        what = e.what();
      }
      EXPECT_EQ(what, "5") << threads;
    }
  }
}

TEST(Parallel, MemoryThatIsShortIsSaidOutside) {
  EXPECT_THROW(parallel_for(9, 3,
                            [](int64_t i) {
                              if (i == 4) throw std::bad_alloc();
                            }),
               std::bad_alloc);
}

}  // namespace
}  // namespace nibble
