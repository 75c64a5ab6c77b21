// Steps of training a decoder: its passes, one a thread, under a StepRunner.
#pragma once

#include <memory>
#include <vector>

#include "nibble/train/step_options.h"
#include "nibble/train/step_runner.h"
#include "nibble/train/teacher.h"
#include "nibble/train/trained_parts.h"

namespace nibble {

class DecoderStep {
 public:
  /// config, plans and ops must outlive it; parts have the layout of the same plans.
  DecoderStep(const DecoderConfig& config, std::span<const LayerPlan> plans,
              const TrainOps<float>& ops, std::unique_ptr<TrainedParts> parts,
              const StepOptions& options = {});
  /// The weights themselves.
  DecoderStep(const ParamLayout& layout, const TrainOps<float>& ops);

  /// Returns the mean loss over the batch's targets.
  double step(const Batch& batch, const TrainAdam<float>& adam, double clip_norm, int threads);
  /// The sum of the losses -log p over the batch's targets, and of the divergences from the teacher
  /// where there is one; nothing is learnt.
  struct Losses {
    double labels = 0, divergence = 0;
  };
  Losses measure(const Batch& batch, int threads);

  const std::unique_ptr<TrainedParts> parts;
  StepRunner runner;

 private:
  using Pass = DecoderGradient<float>;
  void reserve(size_t threads, size_t chunks);
  double run_pieces(size_t worker, const Batch& batch, const Chunk& chunk, float scale,
                    const DecoderSlopes<float>& into);

  const DecoderConfig& config_;
  const std::span<const LayerPlan> plans_;
  const TrainOps<float>& ops_;
  const StepOptions options_;
  const DecoderView<float> view_;
  std::vector<std::unique_ptr<Pass>> passes_;
  std::vector<std::unique_ptr<TeacherPass>> teachers_;
  std::vector<DecoderSlopes<float>> slopes_;  // one a chunk
};

}  // namespace nibble
