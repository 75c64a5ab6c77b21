// The knapsack against trying everything.
#include "nibble/quant/knapsack.h"

#include <gtest/gtest.h>

#include "nibble/core/random.h"

namespace nibble {
namespace {

double by_trying(const std::vector<std::vector<KnapsackOption>>& items, size_t item,
                 int64_t budget) {
  if (item == items.size()) return 0;
  double best = 1e30;
  for (const KnapsackOption& o : items[item]) {
    if (o.size > budget) continue;
    best = std::min(best, o.cost + by_trying(items, item + 1, budget - o.size));
  }
  return best;
}

TEST(Knapsack, IsTheBestOfAll) {
  PyRandom random(1);
  for (int round = 0; round < 50; ++round) {
    std::vector<std::vector<KnapsackOption>> items(6);
    for (auto& options : items) {
      for (int i = 0; i < 4; ++i)
        options.push_back({static_cast<int64_t>(random.below(100)) + 1, random.random()});
    }
    const int64_t budget = 120 + static_cast<int64_t>(random.below(200));
    const double best = by_trying(items, 0, budget);
    const KnapsackResult r = solve_knapsack(items, budget);
    if (best > 1e20) {
      EXPECT_TRUE(r.chosen.empty());
      continue;
    }
    EXPECT_NEAR(r.cost, best, 1e-12);
    EXPECT_LE(r.size, budget);
    EXPECT_LE(r.lower_bound, best + 1e-9);
  }
}

}  // namespace
}  // namespace nibble
