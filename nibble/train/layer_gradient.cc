#include "nibble/train/layer_gradient.h"

#include <algorithm>

#include "nibble/core/error.h"

namespace nibble {
namespace {

// As training_plan() has it.
bool is_packed(const LayerPlan& plan) {
  const BufferPlan& q = plan.buffer(BufferId::q);
  return q.within && q.is_whole();
}

template <class T>
std::unique_ptr<GradientStep<T>> make_step(const StepRows<T>& r, const Step& step) {
  switch (step.op) {
    case Op::norm:
      return make_norm_gradient(r, step);
    case Op::project:
      return make_project_gradient(r, step);
    case Op::keys:
      return make_keys_gradient(r, step);
    case Op::attend:
      return is_packed(r.plan) ? make_packed_attend_gradient(r, step)
                               : make_attend_gradient(r, step);
    case Op::convolve:
      return make_convolve_gradient(r, step);
    case Op::delta:
      return make_delta_gradient(r, step);
    case Op::mamba_convolve:
      return make_mamba_convolve_gradient(r, step);
    case Op::mamba_scan:
      return make_mamba_scan_gradient(r, step);
    case Op::mamba_gate:
      return make_mamba_gate_gradient(r, step);
    case Op::activate:
      return make_activate_gradient(r, step);
    case Op::gate:
      return make_gate_gradient(r, step);
    case Op::gate_rows:
      return make_gate_rows_gradient(r, step);
    case Op::add:
      return make_add_gradient(r, step);
    case Op::scale:
      return make_scale_gradient(r, step);
    case Op::route:
      return make_route_gradient(r, step);
    case Op::combine:
      return make_combine_gradient(r, step);
  }
  NIBBLE_CHECK(false && "a step without a gradient");
  return nullptr;
}

}  // namespace

template <class T>
LayerGradient<T>::LayerGradient(const DecoderConfig& config, LayerPlan plan, int layer,
                                const TrainOps<T>& ops, std::shared_ptr<StepSlopes<T>> slopes)
    : plan_(std::move(plan)),
      rows_{config, ops, plan_, layer, MatrixProducts<T>(ops)},
      slopes_(std::move(slopes)) {
  for (const Step& step : plan_.steps) steps_.push_back(make_step(rows_, step));
}

template <class T>
void LayerGradient<T>::reserve(int64_t rows, int64_t longest) {
  if (rows <= capacity_ && longest <= longest_) return;
  capacity_ = std::max(capacity_, round_up(rows, kTrainAlign));
  longest_ = std::max(longest_, longest);
  for (const auto& step : steps_) step->reserve(capacity_, longest_);
}

template <class T>
const T* LayerGradient<T>::forward(const LayerView<T>& w, std::span<const int64_t> starts,
                                   const T* x) {
  int64_t longest = 0;
  for (size_t s = 0; s + 1 < starts.size(); ++s)
    longest = std::max(longest, starts[s + 1] - starts[s]);
  reserve(starts.back(), longest);
  starts_.assign(starts.begin(), starts.end());
  rows_.starts = starts_;
  rows_.rows = starts.back();
  rows_.weights = &w;
  rows_.set(BufferId::stream, x);
  for (const auto& step : steps_) step->forward(rows_);
  return rows_.value(BufferId::stream);
}

template <class T>
const T* LayerGradient<T>::forward(const LayerView<T>& w, int64_t tokens, const T* x) {
  const int64_t starts[] = {0, tokens};
  return forward(w, starts, x);
}

template <class T>
void LayerGradient<T>::backward(T* dx, const OutputGradients<T>& hear, const LayerSlopes<T>* into) {
  rows_.hear = hear ? &hear : nullptr;
  rows_.into = into;
  for (size_t i = 0; i < kBuffers; ++i) {
    const BufferPlan& b = plan_.buffers[i];
    if (b.width > 0 && !b.within) rows_.slopes[i] = slopes_->at(i, capacity_ * b.rows * b.width);
  }
  rows_.slopes[static_cast<size_t>(BufferId::stream)] = dx;
  rows_.started = {};
  rows_.start(BufferId::stream);
  for (auto step = steps_.rbegin(); step != steps_.rend(); ++step) (*step)->backward(rows_);
}

template class LayerGradient<float>;
template class LayerGradient<double>;

}  // namespace nibble
