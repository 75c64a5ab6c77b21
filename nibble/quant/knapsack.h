// The best choice of one option per item under a budget: bits for layers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace nibble {

struct KnapsackOption {
  int64_t size = 0;  ///< >= 0
  double cost = 0;   ///< >= 0
};

struct KnapsackResult {
  std::vector<size_t> chosen;  ///< an option for each item
  int64_t size = 0;
  double cost = 0;
  /// No choice within the budget costs less (the Lagrangian bound): cost - lower_bound is the most
  /// that is lost.
  double lower_bound = 0;
};

/// The least sum of costs whose sizes sum to at most `budget`, by dynamic programming over sizes in
/// units of budget / 20,000, rounded up: the budget is never broken, and what rounding loses is
/// within the bound that is given. `chosen` is empty where even the smallest options do not fit.
KnapsackResult solve_knapsack(const std::vector<std::vector<KnapsackOption>>& items,
                              int64_t budget);

}  // namespace nibble
