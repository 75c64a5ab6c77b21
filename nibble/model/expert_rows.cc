#include "nibble/model/expert_rows.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace nibble {

namespace {

// Logits become scores, in place.
template <class T>
void score(const ExpertPlan& plan, T* logits) {
  const T scale = T(plan.router.logit_scale);
  for (int64_t e = 0; e < plan.experts && scale != 1; ++e) logits[e] *= scale;
  if (plan.router.sigmoid) {
    for (int64_t e = 0; e < plan.experts; ++e) logits[e] = 1 / (1 + std::exp(-logits[e]));
    return;
  }
  const T most = *std::max_element(logits, logits + plan.experts);
  T sum = 0;
  for (int64_t e = 0; e < plan.experts; ++e) sum += logits[e] = std::exp(logits[e] - most);
  for (int64_t e = 0; e < plan.experts; ++e) logits[e] /= sum;
}

// By which experts are compared.
template <class T>
class Choice {
 public:
  Choice(const ExpertPlan& plan, std::span<const float> correction, const T* scores)
      : plan_(plan), correction_(correction), scores_(scores) {
    for (int64_t g = 0; g < plan.router.groups; ++g) {
      if (takes_part(g)) groups_ |= uint64_t{1} << g;
    }
  }

  bool allows(int64_t expert) const {
    return (groups_ >> (expert / (plan_.experts / plan_.router.groups)) & 1) != 0;
  }

  T of(int64_t expert) const {
    return correction_.empty() ? scores_[expert]
                               : scores_[expert] + T(correction_[static_cast<size_t>(expert)]);
  }

 private:
  // The score of a group.
  T of_group(int64_t group) const {
    const int64_t each = plan_.experts / plan_.router.groups, first = group * each;
    T best = of(first), second = -std::numeric_limits<T>::infinity();
    for (int64_t e = first + 1; e < first + each; ++e) {
      const T value = of(e);
      second = std::max(second, std::min(best, value));
      best = std::max(best, value);
    }
    return plan_.router.best_two ? best + second : best;
  }
  // Whether fewer groups than take part are better, earlier ones first where they are alike.
  bool takes_part(int64_t own) const {
    const RouterConfig& r = plan_.router;
    if (r.groups == r.groups_chosen) return true;
    const T score = of_group(own);
    int64_t better = 0;
    for (int64_t g = 0; g < r.groups; ++g) {
      const T other = of_group(g);
      if (other > score || (other == score && g < own)) ++better;
    }
    return better < r.groups_chosen;
  }

  const ExpertPlan& plan_;
  const std::span<const float> correction_;
  const T* const scores_;
  uint64_t groups_ = 0;  // that take part, a bit for each (kMostExpertGroups)
};

}  // namespace

template <class T>
void choose_experts(const ExpertPlan& plan, const ExpertNumbers<T>& numbers, T* routing) {
  score(plan, routing);
  const Choice<T> choice(plan, numbers.correction, routing);
  T *const chosen = routing + plan.experts, *const weights = chosen + plan.chosen;
  T total = T(plan.router.floor);
  for (int64_t i = 0; i < plan.chosen; ++i) {
    int64_t best = -1;
    for (int64_t e = 0; e < plan.experts; ++e) {
      const bool taken = std::find(chosen, chosen + i, static_cast<T>(e)) != chosen + i;
      if (taken || !choice.allows(e)) continue;
      if (best < 0 || choice.of(e) > choice.of(best)) best = e;
    }
    chosen[i] = static_cast<T>(best);
    weights[i] = routing[best];
    total += weights[i];
  }
  const T by = T(plan.router.scale) / (plan.router.normalize ? total : T{1});
  for (int64_t i = 0; i < plan.chosen; ++i) {
    weights[i] *= by;
    if (!numbers.scale.empty()) weights[i] *= numbers.scale[static_cast<size_t>(chosen[i])];
  }
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

template void choose_experts(const ExpertPlan&, const ExpertNumbers<float>&, float*);
template void choose_experts(const ExpertPlan&, const ExpertNumbers<double>&, double*);
template void ExpertRows::find(const ExpertPlan&, const float*, int64_t);
template void ExpertRows::find(const ExpertPlan&, const double*, int64_t);

}  // namespace nibble
