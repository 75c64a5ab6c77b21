// Experts: where rows go to, and how they come back (Shazeer et al. 2017). Which experts are chosen
// has no gradient; with what weight they come back has one.
#include <algorithm>
#include <cmath>

#include "nibble/train/gradient_step.h"

namespace nibble {
namespace {

template <class T>
class RouteGradient : public GradientStep<T> {
 public:
  RouteGradient(const StepRows<T>& r, const Step& step)
      : step_(step), plan_(*r.plan.experts), width_(r.plan.buffer(step.in).width) {}

  void reserve(int64_t rows, int64_t) override {
    logits_ = Buffer<T>(rows * plan_.experts);
    dlogits_ = Buffer<T>(rows * plan_.experts);
    routing_ = Buffer<T>(rows * plan_.width());
    gathered_ = Buffer<T>(rows * plan_.chosen * width_);
    memory_.resize(static_cast<size_t>(ExpertRows::count(rows, plan_.experts, plan_.chosen)));
    experts_ = ExpertRows(memory_.data(), rows, plan_.experts, plan_.chosen);
  }

  void forward(StepRows<T>& r) override {
    x_ = r.value(step_.in);
    router_x_ = r.value(plan_.router_in);
    r.products.forward(r.weights->router, r.rows, router_x_, logits_.data(), false);
    for (int64_t row = 0; row < r.rows; ++row) {
      T* const to = routing_.data() + row * plan_.width();
      std::copy_n(logits_.data() + row * plan_.experts, plan_.experts, to);
      choose_experts(plan_, numbers(r), to);
    }
    experts_.find(plan_, routing_.data(), r.rows);
    if (r.balance != nullptr && r.balance->counting) count(r.rows, *r.balance);
    r.experts = experts_;
    for (int64_t i = 0; i < r.rows * plan_.chosen; ++i)
      std::copy_n(x_ + experts_.sources[i] * width_, width_, gathered_.data() + i * width_);
    r.set(BufferId::routing, routing_.data());
    r.set(step_.out, gathered_.data());
  }

  void backward(StepRows<T>& r) override {
    T* const dx = r.slope(step_.in);
    if (!r.start(step_.in)) std::fill_n(dx, r.rows * width_, T{0});
    const T* const dgathered = r.slope(step_.out);
    for (int64_t i = 0; i < r.rows * plan_.chosen; ++i) {
      T* const to = dx + experts_.sources[i] * width_;
      for (int64_t c = 0; c < width_; ++c) to[c] += dgathered[i * width_ + c];
    }
    for (int64_t row = 0; row < r.rows; ++row) {
      slopes_of_logits(r, r.slope(BufferId::routing), row);
      if (r.balance != nullptr) add_balance(*r.balance, row);
    }
    for (T& d : dlogits_) d *= T(plan_.router.logit_scale);
    if (r.into != nullptr)
      r.products.weights(r.weights->router, r.rows, router_x_, dlogits_.data(), r.into->router);
    const bool more = r.start(plan_.router_in);
    r.products.backward(r.weights->router, r.rows, dlogits_.data(), r.slope(plan_.router_in), more);
    r.end(step_.out);
    r.end(BufferId::routing);
  }

 private:
  // p of one row.
  void probabilities(int64_t row) {
    const T* const logits = logits_.data() + row * plan_.experts;
    const T most = *std::max_element(logits, logits + plan_.experts);
    p_.resize(static_cast<size_t>(plan_.experts));
    double sum = 0;
    for (size_t e = 0; e < p_.size(); ++e)
      sum += p_[e] = std::exp(plan_.router.logit_scale * double{logits[e] - most});
    for (double& p : p_) p /= sum;
  }
  void count(int64_t rows, ExpertBalance& to) {
    to.rows += rows;
    to.chosen.resize(static_cast<size_t>(plan_.experts));
    to.probability.resize(to.chosen.size());
    for (int64_t row = 0; row < rows; ++row) {
      probabilities(row);
      for (size_t e = 0; e < p_.size(); ++e) to.probability[e] += p_[e];
    }
    for (size_t e = 0; e < p_.size(); ++e)
      to.chosen[e] += experts_.starts[e + 1] - experts_.starts[e];
  }
  void add_balance(const ExpertBalance& of, int64_t row) {
    probabilities(row);
    double mean = 0;
    for (size_t e = 0; e < p_.size(); ++e) mean += p_[e] * of.slope(e);
    T* const to = dlogits_.data() + row * plan_.experts;
    for (size_t e = 0; e < p_.size(); ++e) to[e] += static_cast<T>(p_[e] * (of.slope(e) - mean));
  }

  ExpertNumbers<T> numbers(const StepRows<T>& r) {
    const LayerView<T>& w = *r.weights;
    if (w.router_correction != nullptr)
      correction_.assign(w.router_correction, w.router_correction + plan_.experts);
    const auto scales = static_cast<size_t>(w.expert_scale == nullptr ? 0 : plan_.experts);
    return {correction_, {w.expert_scale, scales}};
  }

  // From those of the weights: through what they are multiplied with and divided by, and through
  // the scores of all.
  void slopes_of_logits(const StepRows<T>& r, T* dweights, int64_t row) {
    const T* const routing = routing_.data() + row * plan_.width();
    const T* const chosen = chosen_experts(plan_, routing);
    T* const slope = dweights + row * plan_.chosen;
    const RouterConfig& router = plan_.router;
    T* const to = dlogits_.data() + row * plan_.experts;
    std::fill_n(to, plan_.experts, T{0});
    T sum = T(router.floor), mean = 0;
    for (int64_t i = 0; i < plan_.chosen; ++i) sum += routing[static_cast<int64_t>(chosen[i])];
    const T divisor = router.normalize ? sum : T{1};
    for (int64_t i = 0; i < plan_.chosen; ++i) {
      const auto expert = static_cast<int64_t>(chosen[i]);
      const T score = routing[expert] / divisor;
      if (r.weights->expert_scale != nullptr) {
        if (r.into != nullptr && r.into->expert_scale != nullptr)
          r.into->expert_scale[expert] += slope[i] * T(router.scale) * score;
        slope[i] *= r.weights->expert_scale[expert];
      }
      mean += score * slope[i];
    }
    for (int64_t i = 0; i < plan_.chosen; ++i)
      to[static_cast<int64_t>(chosen[i])] =
          router.normalize ? T(router.scale) * (slope[i] - mean) / sum : T(router.scale) * slope[i];
    slopes_of_scores(routing, to);
  }
  // Slopes of scores become those of logits.
  void slopes_of_scores(const T* scores, T* slopes) const {
    T mean = 0;
    for (int64_t e = 0; e < plan_.experts; ++e) mean += scores[e] * slopes[e];
    for (int64_t e = 0; e < plan_.experts; ++e)
      slopes[e] = plan_.router.sigmoid ? slopes[e] * scores[e] * (1 - scores[e])
                                       : scores[e] * (slopes[e] - mean);
  }

  const Step step_;
  const ExpertPlan plan_;
  const int64_t width_;
  const T *x_ = nullptr, *router_x_ = nullptr;
  Buffer<T> logits_, dlogits_, routing_, gathered_;
  std::vector<int32_t> memory_;
  ExpertRows experts_;
  std::vector<double> p_;  // of one row
  std::vector<float> correction_;
};

// The slope of `routing` is that of the weights, [rows, chosen].
template <class T>
class CombineGradient : public GradientStep<T> {
 public:
  CombineGradient(const StepRows<T>& r, const Step& step)
      : step_(step), plan_(*r.plan.experts), width_(r.plan.buffer(step.in).width) {}

  void reserve(int64_t rows, int64_t) override { sum_ = Buffer<T>(rows * width_); }

  void forward(StepRows<T>& r) override {
    given_ = r.value(step_.in);
    routing_ = r.value(BufferId::routing);
    if (step_.adds)
      std::copy_n(r.value(step_.out), r.rows * width_, sum_.data());
    else
      sum_.clear();
    for_each(r, [&](int64_t row, int64_t, int64_t place, T weight) {
      for (int64_t c = 0; c < width_; ++c)
        sum_[row * width_ + c] += weight * given_[place * width_ + c];
    });
    r.set(step_.out, sum_.data());
  }

  void backward(StepRows<T>& r) override {
    const T* const dsum = r.slope(step_.out);
    T *const dgiven = r.slope(step_.in), *const dweights = r.slope(BufferId::routing);
    for_each(r, [&](int64_t row, int64_t i, int64_t place, T weight) {
      T dot = 0;
      for (int64_t c = 0; c < width_; ++c) {
        const T d = dsum[row * width_ + c];
        dgiven[place * width_ + c] = weight * d;
        dot += d * given_[place * width_ + c];
      }
      dweights[row * plan_.chosen + i] = dot;
    });
    r.start(step_.in);
    r.start(BufferId::routing);
    if (!step_.adds) r.end(step_.out);
  }

 private:
  // f(row of the stream, its choice, where that is, its weight).
  template <class F>
  void for_each(const StepRows<T>& r, F f) const {
    for (int64_t row = 0; row < r.rows; ++row) {
      const T* const weights = expert_weights(plan_, routing_ + row * plan_.width());
      for (int64_t i = 0; i < plan_.chosen; ++i)
        f(row, i, int64_t{r.experts.places[row * plan_.chosen + i]}, weights[i]);
    }
  }

  const Step step_;
  const ExpertPlan plan_;
  const int64_t width_;
  const T *given_ = nullptr, *routing_ = nullptr;
  Buffer<T> sum_;
};

}  // namespace

NIBBLE_GRADIENT_STEP(make_route_gradient, RouteGradient);
NIBBLE_GRADIENT_STEP(make_combine_gradient, CombineGradient);

}  // namespace nibble
