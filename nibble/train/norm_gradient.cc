// A norm of a layer, one whose result joins the stream as well.
#include "nibble/train/gradient_step.h"
#include "nibble/train/row_norm.h"

namespace nibble {
namespace {

template <class T>
class NormGradient : public GradientStep<T> {
 public:
  NormGradient(const StepRows<T>& r, const Step& step)
      : step_(step), width_(r.plan.norms[index()].width) {
    norm_ = {r.plan.norms[index()].kind, r.config.norm_eps, width_};
  }

  void reserve(int64_t rows, int64_t) override {
    norm_.reserve(rows);
    if (step_.adds) sum_ = Buffer<T>(rows * width_);
  }

  void forward(StepRows<T>& r) override {
    const T* const y = norm_.forward(r.ops, r.weights->norms[index()], r.rows, r.value(step_.in));
    if (!step_.adds) return r.set(step_.out, y);
    const T* const before = r.value(step_.out);
    for (int64_t i = 0; i < r.rows * width_; ++i) sum_[i] = before[i] + y[i];
    r.set(step_.out, sum_.data());
  }

  void backward(StepRows<T>& r) override {
    const bool more = r.start(step_.in);
    norm_.backward(r.ops, r.weights->norms[index()], r.slope(step_.out), r.slope(step_.in),
                   r.norm_slope(step_.index), more);
    if (!step_.adds) r.end(step_.out);
  }

 private:
  size_t index() const { return static_cast<size_t>(step_.index); }

  const Step step_;
  const int64_t width_;
  RowNorm<T> norm_;
  Buffer<T> sum_;
};

}  // namespace

NIBBLE_GRADIENT_STEP(make_norm_gradient, NormGradient);

}  // namespace nibble
