// The attention of a layer whose heads have keys of their own and see all that came before, with
// queries, keys and values side by side: what TrainOps::attention does.
#include "nibble/train/gradient_step.h"

namespace nibble {
namespace {

template <class T>
class PackedAttendGradient : public GradientStep<T> {
 public:
  PackedAttendGradient(const StepRows<T>& r, const Step& step)
      : out_(step.out),
        rule_(r.plan.attention->rule),
        width_(rule_.shape.heads * rule_.shape.head_dim) {}

  void reserve(int64_t rows, int64_t longest) override {
    mixed_ = Buffer<T>(rows * width_);
    p_ = Buffer<T>(rows * (longest + 1) / 2 * rule_.shape.heads);
  }

  void forward(StepRows<T>& r) override {
    qkv_ = r.value(BufferId::qkv);
    for_each_sequence(r, [&](const TrainAttention<T>& task, int64_t) { r.ops.attention(task); });
    r.set(out_, mixed_.data());
  }

  void backward(StepRows<T>& r) override {
    const T* const dout = r.slope(out_);
    T* const dqkv = r.slope(BufferId::qkv);
    for_each_sequence(r, [&](const TrainAttention<T>& task, int64_t row) {
      r.ops.attention_backward(task, dout + row * width_, dqkv + row * 3 * width_);
    });
    r.start(BufferId::qkv);
    r.end(out_);
  }

 private:
  // f(task, the sequence's first row).
  template <class F>
  void for_each_sequence(const StepRows<T>& r, F f) {
    T* p = p_.data();
    for (size_t s = 0; s + 1 < r.starts.size(); ++s) {
      const int64_t row = r.starts[s], tokens = r.starts[s + 1] - row;
      f(TrainAttention<T>{tokens, rule_.shape.heads, rule_.shape.head_dim, T(rule_.scale),
                          qkv_ + row * 3 * width_, mixed_.data() + row * width_, p},
        row);
      p += tokens * (tokens + 1) / 2 * rule_.shape.heads;
    }
  }

  const BufferId out_;
  const AttentionRule rule_;
  const int64_t width_;
  const T* qkv_ = nullptr;
  Buffer<T> mixed_, p_;
};

}  // namespace

NIBBLE_GRADIENT_STEP(make_packed_attend_gradient, PackedAttendGradient);

}  // namespace nibble
