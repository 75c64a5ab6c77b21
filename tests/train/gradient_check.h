// The gradients of a whole small decoder against central differences.
#pragma once

#include <algorithm>
#include <cmath>
#include <memory>

#include "nibble/core/random.h"
#include "nibble/train/initial_weights.h"
#include "nibble/train/layout.h"

namespace nibble::test {

inline constexpr double kGradientStep = 1e-6, kWorstGradient = 1e-7;

// TeacherPass in f64, of random weights.
struct TeacherOfDoubles {
  TeacherOfDoubles(const DecoderConfig& config, const TrainOps<double>& train_ops, double its_share)
      : ops(train_ops), layout(make_layout(config)), share(its_share) {
    PyRandom random(17);
    draw_weights(layout, 0.5, random, weights.data());
  }
  TeacherRows<double> rows(const Batch& batch, const Chunk& chunk) {
    transpose_weights(layout, ops, weights.data(), transposed.data());
    view = view_of(layout, weights.data(), transposed.data());
    return {&head, &view.head, pass.stream(view, batch, chunk), layout.config.hidden_size, share};
  }
  const TrainOps<double>& ops;
  const ParamLayout layout;
  const double share;
  Buffer<double> weights{layout.size}, transposed{layout.transposed_size};
  DecoderGradient<double> pass{layout.config, layout.plans, ops};
  HeadGradient<double> head{layout.config, ops};
  DecoderView<double> view;
};

inline Batch gradient_batch(const DecoderConfig& c) {
  Batch batch;
  PyRandom random(3);
  for (int64_t length : {c.context, int64_t{1}, int64_t{4}, int64_t{3}}) {
    std::vector<int32_t> ids;
    for (int64_t i = 0; i <= length; ++i) {
      ids.push_back(static_cast<int32_t>(random.below(static_cast<uint64_t>(c.vocab_size))));
    }
    batch.append(ids);
  }
  return batch;
}

class GradientCheck {
 public:
  GradientCheck(const DecoderConfig& config, const TrainOps<double>& ops, bool recompute = false)
      : ops_(ops),
        layout_(make_layout(config)),
        batch_(gradient_batch(config)),
        pass_(layout_.config, layout_.plans, ops_, recompute) {
    PyRandom random(5);
    draw_weights(layout_, 0.3, random, weights_.data());
    // Gains and biases away from 1 and 0, where mistakes could hide.
    for (int64_t i = 0; i < layout_.size; ++i) weights_[i] += random.gauss(0, 0.1);
  }

  double loss(const DecoderSlopes<double>* into = nullptr) {
    transpose_weights(layout_, ops_, weights_.data(), transposed_.data());
    const auto view = view_of(layout_, weights_.data(), transposed_.data());
    const double scale = 1.0 / static_cast<double>(batch_.targets());
    if (!teacher_)
      return pass_.run(view, batch_, chunk(), scale, into) * scale +
             balance_ * pass_.balance_loss();
    const auto rows = teacher_->rows(batch_, chunk());
    return pass_.run(view, batch_, chunk(), scale, into, &rows) * scale;
  }

  // From now on it learns from a decoder of that config; of its share the labels are no part.
  void teach(const DecoderConfig& config, double share) {
    teacher_ = std::make_unique<TeacherOfDoubles>(config, ops_, share);
  }
  // The teacher's weights are those under test.
  void learn_from_itself() {
    std::copy(weights_.begin(), weights_.end(), teacher_->weights.begin());
  }
  void balance(double coefficient) {
    balance_ = coefficient;
    pass_.balance_experts(coefficient);
  }
  // Every third target is none.
  void skip_targets() {
    for (size_t i = 0; i < batch_.target.size(); i += 3)
      batch_.target[i] = unlearnt(batch_.target[i]);
  }

  // The largest difference over all parameters, or every stride-th of each.
  double worst_error(int64_t stride = 1) {
    Buffer<double> gradient(layout_.size);
    const auto slopes = slopes_of(layout_, gradient.data());
    loss(&slopes);
    double worst = 0;
    for (size_t p = 0; p < layout_.table.size(); ++p) {
      for (int64_t j = 0; j < layout_.table[p].shape.elements(); j += stride) {
        const int64_t i = layout_.offsets[p] + j;
        worst = std::max(worst, std::abs(gradient[i] - numeric(i)));
        ++checked;
      }
    }
    return worst;
  }

  int64_t checked = 0;

 private:
  Chunk chunk() const { return {0, batch_.sequences(), 0, batch_.rows()}; }
  double numeric(int64_t i) {
    const double kept = weights_[i];
    weights_[i] = kept + kGradientStep;
    const double above = loss();
    weights_[i] = kept - kGradientStep;
    const double below = loss();
    weights_[i] = kept;
    return (above - below) / (2 * kGradientStep);
  }

  const TrainOps<double>& ops_;
  const ParamLayout layout_;
  Batch batch_;
  double balance_ = 0;
  Buffer<double> weights_{layout_.size}, transposed_{layout_.transposed_size};
  DecoderGradient<double> pass_;
  std::unique_ptr<TeacherOfDoubles> teacher_;
};

}  // namespace nibble::test
