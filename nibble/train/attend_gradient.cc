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
      : out_(step.out), plan_(*r.plan.attention), attention_(r.ops) {
    const AttentionShape& s = plan_.rule.shape;
    if (plan_.rope >= 0)
      rotary_ = Rotary(ropes(r.config)[static_cast<size_t>(plan_.rope)], s.head_dim);
    q_ = heads(r, BufferId::q, s.heads, s.head_dim, plan_.q_norm);
    q_.scale = T(plan_.rule.scale);
    k_ = heads(r, BufferId::k, s.kv_heads, s.head_dim, plan_.k_norm);
    v_ = heads(r, BufferId::v, s.kv_heads, s.values(), -1);
  }

  void reserve(int64_t rows, int64_t longest) override {
    attention_.reserve(longest + (plan_.sinks ? 1 : 0), k_.width(), v_.width());
    mixed_ = Buffer<T>(rows * q_.heads * v_.dim);
    for (Heads* h : {&q_, &k_, &v_}) {
      const int64_t size = rows * h->width();
      if (h->is_part || plan_.norm_turned) h->columns = Buffer<T>(size);
      if (h->is_part || h->norm_index >= 0) h->gradient = Buffer<T>(size);
      if (h == &v_) continue;
      h->read = Buffer<T>(size);
      if (h->norm_index < 0) continue;
      if (h->is_part || plan_.norm_turned) h->behind = Buffer<T>(size);
      h->norm.reserve(size / h->norm_width);
    }
    if (plan_.rope >= 0) compute_angles(longest);
  }

  void forward(StepRows<T>& r) override {
    prepare(r, q_);
    prepare(r, k_);
    values_ = columns(r, v_);
    for_each_sequence(r, [&](const AttentionTask<T>& task, int64_t first) {
      attention_.forward(task, mixed_.data() + first * q_.heads * v_.dim);
    });
    r.set(out_, mixed_.data());
  }

  void backward(StepRows<T>& r) override {
    const T* const dout = r.slope(out_);
    T *const dq = read_gradient(r, q_), *const dk = read_gradient(r, k_),
             *const dv = read_gradient(r, v_);
    T* const dsinks = r.into == nullptr ? nullptr : r.into->sinks;
    for_each_sequence(r, [&](const AttentionTask<T>& task, int64_t first) {
      attention_.backward(task, dout + first * q_.heads * v_.dim, dq + first * q_.width(),
                          dk + first * k_.width(), dv + first * v_.width(), dsinks);
    });
    prepare_backward(r, q_);
    prepare_backward(r, k_);
    hand_back(r, v_, dv);
    r.end(out_);
  }

 private:
  // Queries, keys or values: as projected, and as attention reads them.
  struct Heads {
    BufferId id = BufferId::q;
    int64_t heads = 0, dim = 0;
    bool is_part = false;  // columns of a buffer of more
    int norm_index = -1;   // into the plan's, -1: none
    int64_t norm_width = 0;
    T scale = 1;
    RowNorm<T> norm;
    Buffer<T> columns;   // what they are before a norm, where the buffer does not hold that
    Buffer<T> read;      // by attention
    Buffer<T> gradient;  // of `read`, ...
    Buffer<T> behind;    // ... and through the norm
    int64_t width() const { return heads * dim; }
  };

  static Heads heads(const StepRows<T>& r, BufferId id, int64_t count, int64_t dim, int norm) {
    Heads h;
    h.id = id;
    h.heads = count;
    h.dim = dim;
    h.is_part = r.plan.buffer(id).within.has_value();
    h.norm_index = norm;
    if (norm < 0) return h;
    const NormPlan& n = r.plan.norms[static_cast<size_t>(norm)];
    h.norm_width = n.width;
    h.norm = RowNorm<T>(n.kind, n.eps, n.width);
    return h;
  }

  void compute_angles(int64_t longest) {
    const int64_t pairs = rotary_.pairs();
    std::vector<float> cos(static_cast<size_t>(pairs)), sin(cos.size());
    cos_ = Buffer<T>(longest * pairs);
    sin_ = Buffer<T>(longest * pairs);
    for (int64_t t = 0; t < longest; ++t) {
      rotary_.angles(t, longest, cos.data(), sin.data());
      std::copy(cos.begin(), cos.end(), cos_.data() + t * pairs);
      std::copy(sin.begin(), sin.end(), sin_.data() + t * pairs);
    }
  }

  // f(task, the sequence's first row).
  template <class F>
  void for_each_sequence(const StepRows<T>& r, F f) const {
    const AttentionRule& rule = plan_.rule;
    for (size_t s = 0; s + 1 < r.starts.size(); ++s) {
      const int64_t first = r.starts[s], tokens = r.starts[s + 1] - first;
      f(AttentionTask<T>{tokens, q_.heads, k_.heads, q_.dim, v_.dim, rule.window, T(rule.softcap),
                         T{1}, q_.width(), k_.width(), v_.width(),
                         q_.read.data() + first * q_.width(), k_.read.data() + first * k_.width(),
                         values_ + first * v_.width(), r.weights->sinks},
        first);
    }
  }

  // f(head, its token's position) of every head of every row, in order.
  template <class F>
  void for_each_head(const StepRows<T>& r, const Heads& h, T* x, F f) const {
    for (size_t s = 0; s + 1 < r.starts.size(); ++s) {
      for (int64_t t = 0; t < r.starts[s + 1] - r.starts[s]; ++t) {
        for (int64_t head = 0; head < h.heads; ++head, x += h.dim) f(x, t);
      }
    }
  }

  // x times the scale of its kind and position.
  void scale(const StepRows<T>& r, const Heads& h, T* x) const {
    const bool of_position = h.id == BufferId::q && plan_.query_beta != 0;
    if (h.scale == 1 && !of_position) return;
    for_each_head(r, h, x, [&](T* head, int64_t t) {
      const T by = of_position ? h.scale * T(plan_.query_scale(t)) : h.scale;
      for (int64_t i = 0; i < h.dim; ++i) head[i] *= by;
    });
  }

  // Each pair of a head turned by its position's angle (backward: direction -1).
  void turn(const StepRows<T>& r, const Heads& h, T direction, T* x) const {
    if (plan_.rope < 0) return;
    const int64_t pairs = rotary_.pairs();
    for_each_head(r, h, x, [&](T* head, int64_t t) {
      turn_head(cos_.data() + t * pairs, sin_.data() + t * pairs, direction,
                head + rotary_.begin());
    });
  }
  void turn_head(const T* cos, const T* sin, T direction, T* x) const {
    const int64_t pairs = rotary_.pairs();
    const int64_t step = rotary_.neighbours() ? 2 : 1, apart = rotary_.neighbours() ? 1 : pairs;
    for (int64_t i = 0; i < pairs; ++i) {
      T &a = x[step * i], &b = x[step * i + apart];
      const T first = a, second = b, s = direction * sin[i];
      a = first * cos[i] - second * s;
      b = second * cos[i] + first * s;
    }
  }

  const NormView<T>& norm_view(const StepRows<T>& r, const Heads& h) const {
    return r.weights->norms[static_cast<size_t>(h.norm_index)];
  }

  const T* columns(const StepRows<T>& r, Heads& h) const {
    if (!h.is_part) return r.value(h.id);
    r.gather(h.id, h.columns.data());
    return h.columns.data();
  }

  void prepare(const StepRows<T>& r, Heads& h) const {
    const int64_t size = r.size_of(h.id);
    const T* x = columns(r, h);
    if (h.norm_index >= 0 && plan_.norm_turned) {
      if (!h.is_part) std::copy_n(x, size, h.columns.data());
      turn(r, h, T{1}, h.columns.data());
      x = h.columns.data();
    }
    if (h.norm_index >= 0) x = h.norm.forward(r.ops, norm_view(r, h), size / h.norm_width, x);
    std::copy_n(x, size, h.read.data());
    if (!plan_.norm_turned || h.norm_index < 0) turn(r, h, T{1}, h.read.data());
    scale(r, h, h.read.data());
  }

  // Where the gradient of what attention read goes.
  T* read_gradient(const StepRows<T>& r, Heads& h) const {
    return h.is_part || h.norm_index >= 0 ? h.gradient.data() : r.slope(h.id);
  }

  void prepare_backward(StepRows<T>& r, Heads& h) const {
    T* const read = read_gradient(r, h);
    scale(r, h, read);
    const bool turned_last = !plan_.norm_turned || h.norm_index < 0;
    if (turned_last) turn(r, h, T{-1}, read);
    if (h.norm_index < 0) return hand_back(r, h, read);
    T* const behind = h.behind.size() > 0 ? h.behind.data() : r.slope(h.id);
    h.norm.backward(r.ops, norm_view(r, h), read, behind, r.norm_slope(h.norm_index), false);
    if (!turned_last) turn(r, h, T{-1}, behind);
    hand_back(r, h, behind);
  }

  void hand_back(StepRows<T>& r, const Heads& h, const T* slopes) const {
    if (h.is_part || slopes != r.slope(h.id)) return r.scatter(h.id, slopes);
    r.start(h.id);
  }

  const BufferId out_;
  const AttentionPlan plan_;
  Rotary rotary_;
  AttentionGradient<T> attention_;
  Heads q_, k_, v_;
  const T* values_ = nullptr;
  Buffer<T> mixed_, cos_, sin_;  // cos, sin: [longest, pairs]
};

}  // namespace

NIBBLE_GRADIENT_STEP(make_attend_gradient, AttendGradient);

}  // namespace nibble
