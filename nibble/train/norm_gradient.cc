// A norm of a layer, one whose result joins the stream as well.
#include <algorithm>

#include "nibble/train/gradient_step.h"

namespace nibble {
namespace {

template <class T>
class NormGradient : public GradientStep<T> {
 public:
  NormGradient(const StepRows<T>& r, const Step& step)
      : step_(step), plan_(r.plan.norms[static_cast<size_t>(step.index)]) {}

  void reserve(int64_t rows, int64_t) override {
    y_ = Buffer<T>(rows * plan_.width);
    if (step_.adds) sum_ = Buffer<T>(rows * plan_.width);
    mean_ = Buffer<T>(rows);
    rstd_ = Buffer<T>(rows);
  }

  void forward(StepRows<T>& r) override {
    x_ = r.value(step_.in);
    r.ops.norm(task(r));
    const T* const before = r.value(step_.out);
    r.set(step_.out, step_.adds ? sum_.data() : y_.data());
    for (int64_t i = 0; i < sum_.size() && i < r.rows * plan_.width; ++i)
      sum_[i] = before[i] + y_[i];
  }

  void backward(StepRows<T>& r) override {
    const NormSlope<T> into =
        r.into == nullptr ? NormSlope<T>{} : r.into->norms[static_cast<size_t>(step_.index)];
    const bool more = r.start(step_.in);
    r.ops.norm_backward(task(r),
                        {r.slope(step_.out), r.slope(step_.in), into.gain, into.bias, more});
    if (!step_.adds) r.end(step_.out);
  }

 private:
  TrainNorm<T> task(const StepRows<T>& r) {
    const NormView<T>& w = r.weights->norms[static_cast<size_t>(step_.index)];
    return {r.rows,
            plan_.width,
            plan_.kind == NormKind::layer,
            T(r.config.norm_eps),
            x_,
            w.gain,
            w.bias,
            y_.data(),
            mean_.data(),
            rstd_.data()};
  }

  const Step step_;
  const NormPlan plan_;
  const T* x_ = nullptr;
  Buffer<T> y_, sum_, mean_, rstd_;
};

}  // namespace

template <class T>
std::unique_ptr<GradientStep<T>> make_norm_gradient(const StepRows<T>& r, const Step& step) {
  return std::make_unique<NormGradient<T>>(r, step);
}
template std::unique_ptr<GradientStep<float>> make_norm_gradient(const StepRows<float>&,
                                                                 const Step&);
template std::unique_ptr<GradientStep<double>> make_norm_gradient(const StepRows<double>&,
                                                                  const Step&);

}  // namespace nibble
