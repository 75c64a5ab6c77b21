#include "nibble/model/expert_rows.h"

#include <algorithm>
#include <cmath>

namespace nibble {

template <class T>
void choose_experts(const ExpertPlan& plan, T* routing) {
  const T* const logits = routing;
  T *const chosen = routing + plan.experts, *const weights = chosen + plan.chosen;
  T total = 0;
  for (int64_t i = 0; i < plan.chosen; ++i) {
    int64_t best = -1;
    for (int64_t e = 0; e < plan.experts; ++e) {
      const bool taken = std::find(chosen, chosen + i, static_cast<T>(e)) != chosen + i;
      if (!taken && (best < 0 || logits[e] > logits[best])) best = e;
    }
    chosen[i] = static_cast<T>(best);
    // What softmax over all would give, but for a factor that is the same for each.
    weights[i] = std::exp(logits[best] - logits[static_cast<int64_t>(chosen[0])]);
    total += weights[i];
  }
  for (int64_t i = 0; i < plan.chosen; ++i) weights[i] /= total;
}

template <class T>
void ExpertRows::find(const ExpertPlan& plan, const T* routing, int64_t m) {
  std::fill(starts, starts + plan.experts + 1, 0);
  const auto for_each = [&](auto f) {
    for (int64_t r = 0; r < m; ++r) {
      const T* const chosen = chosen_experts(plan, routing + r * plan.width());
      for (int64_t i = 0; i < plan.chosen; ++i) f(r, i, static_cast<int64_t>(chosen[i]));
    }
  };
  for_each([&](int64_t, int64_t, int64_t e) { ++starts[e + 1]; });
  for (int64_t e = 0; e < plan.experts; ++e) starts[e + 1] += starts[e];
  // starts[e] is where the next row of e goes, and in the end where e + 1 begins.
  for_each([&](int64_t r, int64_t i, int64_t e) {
    const int32_t at = starts[e]++;
    sources[at] = static_cast<int32_t>(r);
    places[r * plan.chosen + i] = at;
  });
  std::move_backward(starts, starts + plan.experts, starts + plan.experts + 1);
  starts[0] = 0;
}

template void choose_experts(const ExpertPlan&, float*);
template void choose_experts(const ExpertPlan&, double*);
template void ExpertRows::find(const ExpertPlan&, const float*, int64_t);
template void ExpertRows::find(const ExpertPlan&, const double*, int64_t);

}  // namespace nibble
