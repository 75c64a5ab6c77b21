// Steps of training a decoder: its passes, one a thread, under a StepRunner.
#pragma once

#include <memory>
#include <vector>

#include "nibble/train/decoder_pass.h"
#include "nibble/train/step_runner.h"

namespace nibble {

class DecoderStep {
 public:
  /// layout and ops must outlive it.
  DecoderStep(const ParamLayout& layout, const TrainOps<float>& ops)
      : runner(layout, ops), layout_(layout), ops_(ops) {}
  /// Returns the mean loss over the batch's rows.
  double step(const Batch& batch, const TrainAdam<float>& adam, double clip_norm, int threads);

  StepRunner runner;

 private:
  const ParamLayout& layout_;
  const TrainOps<float>& ops_;
  std::vector<std::unique_ptr<DecoderPass<float>>> passes_;
};

}  // namespace nibble
