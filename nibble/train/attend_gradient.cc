// The attention of a layer: norms and rotation of queries and keys, and what the heads make of
// them.
#include <algorithm>

#include "nibble/nn/rotary.h"
#include "nibble/train/attention_gradient.h"
#include "nibble/train/gradient_step.h"
#include "nibble/train/row_norm.h"

namespace nibble {
namespace {

template <class T>
class AttendGradient : public GradientStep<T> {
 public:
  AttendGradient(const StepRows<T>& r, const Step& step)
      : out_(step.out), plan_(*r.plan.attention), rope_(r.config.rope), attention_(r.ops) {
    const AttentionShape& s = plan_.rule.shape;
    head_dim_ = s.head_dim;
    const auto norm = [&] { return RowNorm<T>(NormKind::rms, r.config.norm_eps, head_dim_); };
    q_ = {BufferId::q, s.heads, plan_.q_norm, T(plan_.rule.scale), norm(), {}, {}};
    k_ = {BufferId::k, s.kv_heads, plan_.k_norm, T{1}, norm(), {}, {}};
  }

  void reserve(int64_t rows, int64_t longest) override {
    attention_.reserve(longest, k_.heads * head_dim_);
    mixed_ = Buffer<T>(rows * q_.heads * head_dim_);
    for (Heads* h : {&q_, &k_}) {
      h->read = Buffer<T>(rows * h->heads * head_dim_);
      if (h->norm_index < 0) continue;
      h->gradient = Buffer<T>(rows * h->heads * head_dim_);
      h->norm.reserve(rows * h->heads);
    }
    if (plan_.rotary) compute_angles(longest);
  }

  void forward(StepRows<T>& r) override {
    prepare(r, q_);
    prepare(r, k_);
    v_ = r.value(BufferId::v);
    for_each_sequence(r, [&](const AttentionTask<T>& task, int64_t q, int64_t) {
      attention_.forward(task, mixed_.data() + q);
    });
    r.set(out_, mixed_.data());
  }

  void backward(StepRows<T>& r) override {
    const T* const dout = r.slope(out_);
    T *const dq = read_gradient(r, q_), *const dk = read_gradient(r, k_),
             *const dv = r.slope(BufferId::v);
    for_each_sequence(r, [&](const AttentionTask<T>& task, int64_t q, int64_t kv) {
      attention_.backward(task, dout + q, dq + q, dk + kv, dv + kv);
    });
    prepare_backward(r, q_);
    prepare_backward(r, k_);
    for (const BufferId id : {BufferId::q, BufferId::k, BufferId::v}) r.start(id);
    r.end(out_);
  }

 private:
  // Queries or keys: as projected, and as attention reads them.
  struct Heads {
    BufferId id;
    int64_t heads;
    int norm_index;  // into the plan's, -1: none
    T scale;
    RowNorm<T> norm;  // of each head
    Buffer<T> read, gradient;
  };

  void compute_angles(int64_t longest) {
    const int64_t half = head_dim_ / 2;
    const Rotary rotary(rope_, head_dim_);
    std::vector<float> cos(static_cast<size_t>(half)), sin(cos.size());
    cos_ = Buffer<T>(longest * half);
    sin_ = Buffer<T>(longest * half);
    for (int64_t t = 0; t < longest; ++t) {
      rotary.angles(t, cos.data(), sin.data());
      std::copy(cos.begin(), cos.end(), cos_.data() + t * half);
      std::copy(sin.begin(), sin.end(), sin_.data() + t * half);
    }
  }

  // f(task, where the sequence's queries begin, where its keys begin).
  template <class F>
  void for_each_sequence(const StepRows<T>& r, F f) const {
    const AttentionRule& rule = plan_.rule;
    for (size_t s = 0; s + 1 < r.starts.size(); ++s) {
      const int64_t first = r.starts[s], tokens = r.starts[s + 1] - first;
      const int64_t q = first * q_.heads * head_dim_, kv = first * k_.heads * head_dim_;
      f(AttentionTask<T>{tokens, q_.heads, k_.heads, head_dim_, rule.window, T(rule.softcap), T{1},
                         q_.heads * head_dim_, k_.heads * head_dim_, q_.read.data() + q,
                         k_.read.data() + kv, v_ + kv},
        q, kv);
    }
  }

  // x times `scale`, each pair of a head turned by its position's angle (backward: direction -1).
  void turn(const StepRows<T>& r, const Heads& h, T direction, T* x) const {
    const int64_t half = head_dim_ / 2;
    if (!plan_.rotary) {
      for (int64_t i = 0; i < r.rows * h.heads * head_dim_; ++i) x[i] *= h.scale;
      return;
    }
    for (size_t s = 0; s + 1 < r.starts.size(); ++s) {
      for (int64_t t = 0; t < r.starts[s + 1] - r.starts[s]; ++t) {
        const T *cos = cos_.data() + t * half, *sin = sin_.data() + t * half;
        for (int64_t head = 0; head < h.heads; ++head, x += 2 * half)
          turn_head(cos, sin, h.scale, direction, x);
      }
    }
  }
  void turn_head(const T* cos, const T* sin, T scale, T direction, T* x) const {
    const int64_t half = head_dim_ / 2;
    for (int64_t i = 0; i < half; ++i) {
      const T a = x[i] * scale, b = x[i + half] * scale, s = direction * sin[i];
      x[i] = a * cos[i] - b * s;
      x[i + half] = b * cos[i] + a * s;
    }
  }

  const NormView<T>& norm_view(const StepRows<T>& r, const Heads& h) const {
    return r.weights->norms[static_cast<size_t>(h.norm_index)];
  }

  void prepare(const StepRows<T>& r, Heads& h) const {
    const T* x = r.value(h.id);
    if (h.norm_index >= 0) x = h.norm.forward(r.ops, norm_view(r, h), r.rows * h.heads, x);
    std::copy_n(x, r.size_of(h.id), h.read.data());
    turn(r, h, T{1}, h.read.data());
  }

  // Where the gradient of what attention read goes.
  T* read_gradient(const StepRows<T>& r, Heads& h) const {
    return h.norm_index >= 0 ? h.gradient.data() : r.slope(h.id);
  }

  void prepare_backward(const StepRows<T>& r, Heads& h) const {
    T* const read = read_gradient(r, h);
    turn(r, h, T{-1}, read);
    if (h.norm_index >= 0)
      h.norm.backward(r.ops, norm_view(r, h), read, r.slope(h.id), r.norm_slope(h.norm_index),
                      false);
  }

  const BufferId out_;
  const AttentionPlan plan_;
  const RopeConfig rope_;
  int64_t head_dim_;
  AttentionGradient<T> attention_;
  Heads q_, k_;
  const T* v_ = nullptr;
  Buffer<T> mixed_, cos_, sin_;  // cos, sin: [longest, head_dim / 2]
};

}  // namespace

NIBBLE_GRADIENT_STEP(make_attend_gradient, AttendGradient);

}  // namespace nibble
