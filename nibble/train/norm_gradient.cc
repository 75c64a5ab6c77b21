// A norm of a layer, one whose result joins the stream as well.
#include "nibble/train/gradient_step.h"
#include "nibble/train/row_norm.h"

namespace nibble {
namespace {

template <class T>
class NormGradient : public GradientStep<T> {
 public:
  NormGradient(const StepRows<T>& r, const Step& step)
      : step_(step), width_(r.plan.buffer(step.in).width) {
    const int64_t each = r.plan.norms[index()].width;
    count_ = width_ / each;
    is_part_ = r.plan.buffer(step.in).within.has_value();
    norm_ = {r.plan.norms[index()].kind, r.plan.norms[index()].eps, each};
  }

  void reserve(int64_t rows, int64_t) override {
    norm_.reserve(rows * count_);
    if (step_.adds) sum_ = Buffer<T>(rows * width_);
    if (is_part_) columns_ = Buffer<T>(rows * width_), slopes_ = Buffer<T>(rows * width_);
  }

  void forward(StepRows<T>& r) override {
    if (is_part_) r.gather(step_.in, columns_.data());
    const T* const x = is_part_ ? columns_.data() : r.value(step_.in);
    const T* const y = norm_.forward(r.ops, r.weights->norms[index()], r.rows * count_, x);
    if (!step_.adds) return r.set(step_.out, y);
    const T* const before = r.value(step_.out);
    for (int64_t i = 0; i < r.rows * width_; ++i) sum_[i] = before[i] + y[i];
    r.set(step_.out, sum_.data());
  }

  void backward(StepRows<T>& r) override {
    const bool more = !is_part_ && r.start(step_.in);
    T* const dx = is_part_ ? slopes_.data() : r.slope(step_.in);
    norm_.backward(r.ops, r.weights->norms[index()], r.slope(step_.out), dx,
                   r.norm_slope(step_.index), more);
    if (is_part_) r.scatter(step_.in, slopes_.data());
    if (!step_.adds) r.end(step_.out);
  }

 private:
  size_t index() const { return static_cast<size_t>(step_.index); }

  const Step step_;
  const int64_t width_;
  int64_t count_;  // of norms of a row
  RowNorm<T> norm_;
  bool is_part_;  // it reads columns of a buffer of more
  Buffer<T> sum_, columns_, slopes_;
};

}  // namespace

NIBBLE_GRADIENT_STEP(make_norm_gradient, NormGradient);

}  // namespace nibble
