// The products of a site, of every expert's where it has them, and what is done to them.
#include <algorithm>

#include "nibble/train/activation_gradient.h"
#include "nibble/train/gradient_step.h"

namespace nibble {
namespace {

template <class T>
class ProjectGradient : public GradientStep<T> {
 public:
  ProjectGradient(const StepRows<T>& r, const Step& step) : step_(step), site_(r.plan.site(step)) {
    each_ = r.plan.buffer(site_.in).rows;
  }

  void reserve(int64_t rows, int64_t) override {
    made_.clear();
    for (const SiteMember& m : site_.members) made_.emplace_back(rows * each_ * m.outputs);
    const int64_t last = rows * each_ * site_.members.back().outputs;
    if (step_.end != LinearEnd::none) activated_ = Buffer<T>(last);
    if (keeps_more(step_.end)) kept_ = Buffer<T>(last);
  }

  void forward(StepRows<T>& r) override {
    x_ = r.value(site_.in);
    for (size_t m = 0; m < site_.members.size(); ++m) {
      T* const y = made_[m].data();
      const SiteMember& member = site_.members[m];
      if (step_.adds) std::copy_n(r.value(member.out), r.size_of(member.out), y);
      for_each_copy(r, [&](int64_t copy, int64_t first, int64_t rows) {
        const MatrixView<T>& w = weights(r)[index(copy, m)];
        r.products.forward(w, rows, x_ + first * w.k, y + first * w.n, step_.adds);
      });
      r.set(member.out, y);
    }
    if (step_.end == LinearEnd::none) return;
    activate(task(r), r.ops);
    r.set(step_.out, activated_.data());
  }

  void backward(StepRows<T>& r) override {
    T* const last = r.slope(step_.out);
    if (step_.end != LinearEnd::none)
      activate_backward(task(r), last, r.slope(site_.members.front().out), last, r.ops);
    bool more = r.start(site_.in);
    for (size_t i = 0; i < site_.members.size(); ++i) {
      // Behind a gate the last one first: an order that is kept, so that sums are.
      const size_t m = is_gate(step_.end) ? site_.members.size() - 1 - i : i;
      backward(r, m, std::exchange(more, true));
      if (!step_.adds) r.end(site_.members[m].out);
    }
  }

 private:
  // f(copy, its first row, its rows) of every copy that has rows.
  template <class F>
  void for_each_copy(const StepRows<T>& r, F f) const {
    if (!site_.experts) return f(int64_t{0}, int64_t{0}, r.rows);
    for (int64_t e = 0; e < r.plan.experts->experts; ++e) {
      const int64_t first = r.experts.starts[e], rows = r.experts.starts[e + 1] - first;
      if (rows > 0) f(e, first, rows);
    }
  }
  const std::vector<MatrixView<T>>& weights(const StepRows<T>& r) const {
    return r.weights->sites[static_cast<size_t>(step_.index)];
  }
  size_t index(int64_t copy, size_t member) const {
    return static_cast<size_t>(copy) * site_.members.size() + member;
  }

  void backward(StepRows<T>& r, size_t m, bool more) {
    const SiteMember& member = site_.members[m];
    const T* const dy = r.slope(member.out);
    T* const dx = r.slope(site_.in);
    for_each_copy(r, [&](int64_t copy, int64_t first, int64_t rows) {
      const MatrixView<T>& w = weights(r)[index(copy, m)];
      if (r.hear != nullptr)
        (*r.hear)(key_of(site_, member, r.layer, copy), rows, dy + first * w.n);
      if (r.into != nullptr)
        r.products.weights(w, rows, x_ + first * w.k, dy + first * w.n,
                           r.into->sites[static_cast<size_t>(step_.index)][index(copy, m)]);
      r.products.backward(w, rows, dy + first * w.n, dx + first * w.k, more);
    });
  }

  ActivationTask<T> task(const StepRows<T>& r) {
    return {step_.end,           r.size_of(step_.out), made_.front().data(),
            made_.back().data(), activated_.data(),    kept_.data()};
  }

  const Step step_;
  const Site site_;
  int64_t each_ = 1;  // rows for one of the stream
  const T* x_ = nullptr;
  std::vector<Buffer<T>> made_;  // by each member
  Buffer<T> activated_, kept_;
};

}  // namespace

NIBBLE_GRADIENT_STEP(make_project_gradient, ProjectGradient);

}  // namespace nibble
