// The attention of a layer whose heads have keys of their own and see all that came before, with
// queries, keys and values side by side: what TrainOps::attention does, in long texts in tiles.
#include "nibble/train/attention_gradient.h"
#include "nibble/train/gradient_step.h"

namespace nibble {
namespace {

// Contexts from which tiles are faster, and keep nothing of the square of their length.
constexpr int64_t kLong = 64;

template <class T>
class PackedAttendGradient : public GradientStep<T> {
 public:
  PackedAttendGradient(const StepRows<T>& r, const Step& step)
      : out_(step.out),
        rule_(r.plan.attention->rule),
        width_(rule_.shape.heads * rule_.shape.head_dim),
        in_tiles_(r.config.context >= kLong),
        tiles_(r.ops) {}

  void reserve(int64_t rows, int64_t longest) override {
    mixed_ = Buffer<T>(rows * width_);
    if (in_tiles_)
      tiles_.reserve(longest, width_, width_);
    else
      p_ = Buffer<T>(rows * (longest + 1) / 2 * rule_.shape.heads);
  }

  void forward(StepRows<T>& r) override {
    qkv_ = r.value(BufferId::qkv);
    T* p = p_.data();
    for (size_t s = 0; s + 1 < r.starts.size(); ++s) {
      if (in_tiles_)
        tiles_.forward(tiled(r, s), mixed_.data() + r.starts[s] * width_);
      else
        r.ops.attention(whole(r, s, p));
    }
    r.set(out_, mixed_.data());
  }

  void backward(StepRows<T>& r) override {
    T* p = p_.data();
    for (size_t s = 0; s + 1 < r.starts.size(); ++s) {
      const T* const dout = r.slope(out_) + r.starts[s] * width_;
      T* const dqkv = r.slope(BufferId::qkv) + r.starts[s] * 3 * width_;
      if (in_tiles_)
        tiles_.backward(tiled(r, s), dout, dqkv, dqkv + width_, dqkv + 2 * width_);
      else
        r.ops.attention_backward(whole(r, s, p), dout, dqkv);
    }
    r.start(BufferId::qkv);
    r.end(out_);
  }

 private:
  AttentionTask<T> tiled(const StepRows<T>& r, size_t sequence) const {
    const AttentionShape& s = rule_.shape;
    const int64_t row = r.starts[sequence], ld = 3 * width_;
    const T* const q = qkv_ + row * ld;
    return {r.starts[sequence + 1] - row,
            s.heads,
            s.heads,
            s.head_dim,
            s.head_dim,
            0,
            T{0},
            T(rule_.scale),
            ld,
            ld,
            ld,
            q,
            q + width_,
            q + 2 * width_};
  }

  // Moves p behind the sequence's probabilities.
  TrainAttention<T> whole(const StepRows<T>& r, size_t sequence, T*& p) {
    const AttentionShape& s = rule_.shape;
    const int64_t row = r.starts[sequence], tokens = r.starts[sequence + 1] - row;
    T* const own = p;
    p += tokens * (tokens + 1) / 2 * s.heads;
    return {tokens,
            s.heads,
            s.head_dim,
            T(rule_.scale),
            qkv_ + row * 3 * width_,
            mixed_.data() + row * width_,
            own};
  }

  const BufferId out_;
  const AttentionRule rule_;
  const int64_t width_;
  const bool in_tiles_;
  AttentionGradient<T> tiles_;
  const T* qkv_ = nullptr;
  Buffer<T> mixed_, p_;
};

}  // namespace

NIBBLE_GRADIENT_STEP(make_packed_attend_gradient, PackedAttendGradient);

}  // namespace nibble
