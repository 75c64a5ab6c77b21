// How experts are chosen, in f64.
#include <limits>

#include "nibble/model/reference_math.h"

namespace nibble::reference {

// Scores of the experts of one row.
Rows scores(const ExpertPlan& plan, Rows logits) {
  const double most = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (double& v : logits) {
    v = plan.router.sigmoid ? 1 / (1 + std::exp(-v)) : std::exp(v - most);
    sum += v;
  }
  for (double& v : logits) v /= plan.router.sigmoid ? 1 : sum;
  return logits;
}

// The places of the `count` largest, the first of those that are alike.
std::vector<int64_t> largest(const Rows& of, int64_t count) {
  std::vector<int64_t> order(of.size());
  for (size_t e = 0; e < order.size(); ++e) order[e] = static_cast<int64_t>(e);
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t a, int64_t b) { return of[at(a)] > of[at(b)]; });
  order.resize(at(count));
  return order;
}

// What experts are compared by: those outside the best groups are out.
Rows compared(const ExpertPlan& plan, Rows by) {
  const RouterConfig& router = plan.router;
  if (router.groups == 1) return by;
  const auto each = std::ssize(by) / router.groups;
  Rows groups;
  for (int64_t g = 0; g < router.groups; ++g) {
    Rows own(by.begin() + g * each, by.begin() + (g + 1) * each);
    std::sort(own.rbegin(), own.rend());
    groups.push_back(own[0] + (router.best_two ? own[1] : 0));
  }
  const std::vector<int64_t> best = largest(groups, router.groups_chosen);
  for (int64_t e = 0; e < std::ssize(by); ++e) {
    if (std::find(best.begin(), best.end(), e / each) == best.end())
      by[at(e)] = -std::numeric_limits<double>::infinity();
  }
  return by;
}

}  // namespace nibble::reference
