#include "nibble/quant/knapsack.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "nibble/core/checked.h"
#include "nibble/core/error.h"

namespace nibble {
namespace {

using Items = std::vector<std::vector<KnapsackOption>>;
constexpr int64_t kUnits = 20'000;
constexpr double kNever = std::numeric_limits<double>::infinity();

int64_t smallest(const Items& items) {
  int64_t sum = 0;
  for (const auto& options : items) {
    NIBBLE_CHECK(!options.empty() && options.size() < 256);
    sum += std::min_element(options.begin(), options.end(), [](const auto& a, const auto& b) {
             return a.size < b.size;
           })->size;
  }
  return sum;
}

// The bound of one multiplier: sum of min(cost + l size) - l budget, and the size it takes.
double relaxed(const Items& items, double l, int64_t budget, int64_t& size) {
  double sum = -l * static_cast<double>(budget);
  size = 0;
  for (const auto& options : items) {
    double best = kNever;
    int64_t of_best = 0;
    for (const KnapsackOption& o : options) {
      const double value = o.cost + l * static_cast<double>(o.size);
      if (value < best || (value == best && o.size < of_best)) {
        best = value;
        of_best = o.size;
      }
    }
    sum += best;
    size += of_best;
  }
  return sum;
}

double bound(const Items& items, int64_t budget) {
  int64_t size = 0;
  double best = relaxed(items, 0, budget, size), low = -60, high = 20;
  for (int step = 0; step < 200; ++step) {
    const double middle = (low + high) / 2;
    best = std::max(best, relaxed(items, std::exp(middle), budget, size));
    (size > budget ? low : high) = middle;
  }
  return best;
}

}  // namespace

KnapsackResult solve_knapsack(const Items& items, int64_t budget) {
  KnapsackResult out;
  const int64_t least = smallest(items);
  if (least > budget) return out;
  // Every item is counted from its smallest option, so that rounding up cannot make all unfit.
  const int64_t spare = budget - least, unit = std::max<int64_t>(1, ceil_div(spare, kUnits));
  const int64_t width = spare / unit + 1;
  std::vector<double> cost(static_cast<size_t>(width), 0.0), next(cost.size());
  std::vector<std::vector<uint8_t>> taken;
  for (const auto& options : items) {
    int64_t base = std::numeric_limits<int64_t>::max();
    for (const KnapsackOption& o : options) base = std::min(base, o.size);
    std::fill(next.begin(), next.end(), kNever);
    taken.emplace_back(cost.size(), uint8_t{0});
    for (size_t i = 0; i < options.size(); ++i) {
      const int64_t more = ceil_div(options[i].size - base, unit);
      for (int64_t at = more; at < width; ++at) {
        const double sum = cost[static_cast<size_t>(at - more)] + options[i].cost;
        if (sum >= next[static_cast<size_t>(at)]) continue;
        next[static_cast<size_t>(at)] = sum;
        taken.back()[static_cast<size_t>(at)] = static_cast<uint8_t>(i);
      }
    }
    cost.swap(next);
  }
  out.chosen.resize(items.size());
  int64_t at = width - 1;
  for (size_t item = items.size(); item-- > 0;) {
    const auto& options = items[item];
    const size_t i = taken[item][static_cast<size_t>(at)];
    int64_t base = std::numeric_limits<int64_t>::max();
    for (const KnapsackOption& o : options) base = std::min(base, o.size);
    at -= ceil_div(options[i].size - base, unit);
    out.chosen[item] = i;
    out.size += options[i].size;
    out.cost += options[i].cost;
  }
  out.lower_bound = bound(items, budget);
  return out;
}

}  // namespace nibble
