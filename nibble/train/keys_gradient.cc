// The keys of latent attention: a part of each head's own, and one that all of them share, whose
// gradient is the sum over the heads.
#include "nibble/train/gradient_step.h"

namespace nibble {
namespace {

template <class T>
class KeysGradient : public GradientStep<T> {
 public:
  KeysGradient(const StepRows<T>& r, const Step& step)
      : step_(step),
        own_dim_(r.config.latent.own_dim),
        shared_dim_(r.config.latent.shared_dim),
        heads_(r.config.heads) {}

  void reserve(int64_t rows, int64_t) override {
    own_ = Buffer<T>(rows * heads_ * own_dim_);
    shared_ = Buffer<T>(rows * shared_dim_);
    made_ = Buffer<T>(rows * heads_ * (own_dim_ + shared_dim_));
  }

  void forward(StepRows<T>& r) override {
    r.gather(step_.in, own_.data());
    r.gather(BufferId::key_shared, shared_.data());
    for_each_element(r.rows, [&](int64_t i, T& part) { made_[i] = part; });
    r.set(step_.out, made_.data());
  }

  void backward(StepRows<T>& r) override {
    const T* const slopes = r.slope(step_.out);
    own_.clear();
    shared_.clear();
    for_each_element(r.rows, [&](int64_t i, T& part) { part += slopes[i]; });
    r.scatter(step_.in, own_.data());
    r.scatter(BufferId::key_shared, shared_.data());
    r.end(step_.out);
  }

 private:
  // f(i, what element i of the keys is a copy of).
  template <class F>
  void for_each_element(int64_t rows, F f) {
    const int64_t d = own_dim_ + shared_dim_;
    for (int64_t i = 0; i < rows * heads_ * d; ++i) {
      const int64_t head = i / d, c = i % d;  // heads of all rows
      f(i, c < own_dim_ ? own_[head * own_dim_ + c]
                        : shared_[head / heads_ * shared_dim_ + c - own_dim_]);
    }
  }

  const Step step_;
  const int64_t own_dim_, shared_dim_, heads_;
  Buffer<T> own_, shared_, made_;  // the parts, backward their slopes; keys
};

}  // namespace

NIBBLE_GRADIENT_STEP(make_keys_gradient, KeysGradient);

}  // namespace nibble
