// GradientStep: one step of a layer's plan, forward and backward. LayerGradient runs them in turn.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "nibble/model/expert_rows.h"
#include "nibble/train/expert_balance.h"
#include "nibble/train/layer_weights.h"

namespace nibble {

/// Hears dL/d(outputs), [rows, n], of each projection of a layer, by the key of its weight: of q, k
/// and v as the weights give them, before norms and rotation, also where they are one matrix; of an
/// expert's the rows that went to it, and nothing where there were none.
template <class T>
using OutputGradients = std::function<void(const ParamKey&, int64_t rows, const T*)>;

/// What the steps of a layer hand to each other.
template <class T>
struct StepRows {
  const DecoderConfig& config;
  const TrainOps<T>& ops;
  const LayerPlan& plan;
  int layer;
  MatrixProducts<T> products;

  int64_t rows = 0;                   // of the stream
  std::span<const int64_t> starts{};  // of sequences, and behind the last
  const LayerView<T>* weights = nullptr;
  ExpertRows experts{};

  std::array<const T*, kBuffers> values{};  // forward: what steps have made so far

  // Backward.
  std::array<T*, kBuffers> slopes{};         // dL/d(values)
  std::array<bool, kBuffers> started{};      // something has been added to them
  const OutputGradients<T>* hear = nullptr;  // null: nobody
  const LayerSlopes<T>* into = nullptr;      // where gradients of weights go; null: nowhere
  ExpertBalance* balance = nullptr;          // of the whole decoder; null: there is no such loss

  const T* value(BufferId id) const { return values[static_cast<size_t>(id)]; }
  void set(BufferId id, const T* made) { values[static_cast<size_t>(id)] = made; }
  T* slope(BufferId id) const { return slopes[static_cast<size_t>(id)]; }
  /// Whether what is to be written into slope(id) must be added to what is there.
  bool start(BufferId id) { return std::exchange(started[static_cast<size_t>(id)], true); }
  /// slope(id) has been read by the step that made the buffer.
  void end(BufferId id) { started[static_cast<size_t>(id)] = false; }
  NormSlope<T> norm_slope(int index) const {
    return into == nullptr ? NormSlope<T>{} : into->norms[static_cast<size_t>(index)];
  }
  /// The buffer whose columns another one's are; itself where it is no part of one.
  BufferId whole(BufferId id) const { return plan.buffer(id).within.value_or(id); }
  /// f(i, j) of every element i of a buffer, where j is its place in whole(id).
  template <class F>
  void for_each_element(BufferId id, F f) const {
    const BufferPlan& b = plan.buffer(id);
    const int64_t stride = plan.buffer(whole(id)).width, piece = b.within ? b.piece : b.width;
    for (int64_t r = 0, i = 0; r < rows_of(id); ++r) {
      for (int64_t c = 0; c < b.width; ++c, ++i)
        f(i, r * stride + b.first + c / piece * b.step + c % piece);
    }
  }
  /// The value of a buffer's columns, copied.
  void gather(BufferId id, T* to) const {
    const T* const from = value(whole(id));
    for_each_element(id, [&](int64_t i, int64_t j) { to[i] = from[j]; });
  }
  /// What dL/d(value) is of a buffer's columns, all of which nobody else writes to.
  void scatter(BufferId id, const T* slopes_of_columns) {
    T* const to = slope(whole(id));
    for_each_element(id, [&](int64_t i, int64_t j) { to[j] = slopes_of_columns[i]; });
    start(whole(id));
  }
  int64_t rows_of(BufferId id) const { return rows * plan.buffer(id).rows; }
  int64_t size_of(BufferId id) const { return rows_of(id) * plan.buffer(id).width; }
};

/// Where steps hand dL/d(values) to each other. Layers may share it: one goes backward at a time.
template <class T>
struct StepSlopes {
  std::array<Buffer<T>, kBuffers> buffers;
  T* at(size_t id, int64_t size) {
    if (buffers[id].size() < size) buffers[id] = Buffer<T>(size);
    return buffers[id].data();
  }
};

/// Holds what backward needs of forward. Backward may be called for several losses.
template <class T>
class GradientStep {
 public:
  virtual ~GradientStep() = default;
  /// Makes room for so many rows in sequences of at most so many tokens.
  virtual void reserve(int64_t rows, int64_t longest) = 0;
  virtual void forward(StepRows<T>& r) = 0;
  virtual void backward(StepRows<T>& r) = 0;
};

// Makers of the kinds of steps, each defined by NIBBLE_GRADIENT_STEP where the kind is.
#define NIBBLE_GRADIENT_STEP_MAKER(make) \
  template <class T>                     \
  std::unique_ptr<GradientStep<T>> make(const StepRows<T>& r, const Step& step)
NIBBLE_GRADIENT_STEP_MAKER(make_norm_gradient);
NIBBLE_GRADIENT_STEP_MAKER(make_project_gradient);
NIBBLE_GRADIENT_STEP_MAKER(make_keys_gradient);
NIBBLE_GRADIENT_STEP_MAKER(make_attend_gradient);
NIBBLE_GRADIENT_STEP_MAKER(make_packed_attend_gradient);  // q, k and v are one buffer
NIBBLE_GRADIENT_STEP_MAKER(make_convolve_gradient);
NIBBLE_GRADIENT_STEP_MAKER(make_delta_gradient);
NIBBLE_GRADIENT_STEP_MAKER(make_mamba_convolve_gradient);
NIBBLE_GRADIENT_STEP_MAKER(make_mamba_scan_gradient);
NIBBLE_GRADIENT_STEP_MAKER(make_mamba_gate_gradient);
NIBBLE_GRADIENT_STEP_MAKER(make_activate_gradient);
NIBBLE_GRADIENT_STEP_MAKER(make_gate_gradient);
NIBBLE_GRADIENT_STEP_MAKER(make_gate_rows_gradient);
NIBBLE_GRADIENT_STEP_MAKER(make_add_gradient);
NIBBLE_GRADIENT_STEP_MAKER(make_scale_gradient);
NIBBLE_GRADIENT_STEP_MAKER(make_route_gradient);
NIBBLE_GRADIENT_STEP_MAKER(make_combine_gradient);

#define NIBBLE_GRADIENT_STEP(make, Kind)                                                        \
  NIBBLE_GRADIENT_STEP_MAKER(make) { return std::make_unique<Kind<T>>(r, step); }               \
  template std::unique_ptr<GradientStep<float>> make(const StepRows<float>&, const Step& step); \
  template std::unique_ptr<GradientStep<double>> make(const StepRows<double>&, const Step& step)

}  // namespace nibble
