// Steps of training a decoder: its passes, one a thread, under a StepRunner.
#pragma once

#include <memory>
#include <vector>

#include "nibble/train/layout.h"
#include "nibble/train/step_runner.h"

namespace nibble {

class DecoderStep {
 public:
  /// layout and ops must outlive it.
  DecoderStep(const ParamLayout& layout, const TrainOps<float>& ops)
      : runner(layout, ops),
        layout_(layout),
        ops_(ops),
        view_(view_of<float>(layout, runner.weights.data(), runner.transposed.data())) {}
  /// Returns the mean loss over the batch's rows.
  double step(const Batch& batch, const TrainAdam<float>& adam, double clip_norm, int threads);

  StepRunner runner;

 private:
  const ParamLayout& layout_;
  const TrainOps<float>& ops_;
  const DecoderView<float> view_;
  std::vector<std::unique_ptr<DecoderGradient<float>>> passes_;
  std::vector<DecoderSlopes<float>> slopes_;  // one a chunk
};

}  // namespace nibble
