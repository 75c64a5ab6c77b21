// Training of each layer in turn behind the method that has quantized it (EfficientQAT's
// block-wise phase: Chen et al. 2024, arXiv 2407.11062): from what the quantized layers before it
// make, it learns to give what the original model has there, weights and step sizes both.
#pragma once

#include <string>
#include <vector>

#include "nibble/compress/calibration_text.h"
#include "nibble/compress/fisher_walk.h"
#include "nibble/compress/layer_store.h"
#include "nibble/compress/quantize.h"
#include "nibble/compress/sample_stream.h"
#include "nibble/train/layer_trainer.h"

namespace nibble {

/// Samples for training: options.training.samples of the text that calibration has them of.
CalibrationText training_text(const Model& model, const QuantizeOptions& options, const Exec& exec);

/// Error{invalid_argument} for a scheme whose inputs training does not know how to round.
void require_trainable(const std::vector<ParameterPlan>& plans);

/// What training takes besides calibration; nothing where options.trains_blocks is not set.
struct BlockTrainingEstimate {
  int64_t work_bytes = 0;    ///< weights, moments, gradients, activations
  int64_t stream_bytes = 0;  ///< what may be in a file
  double products = 0;       ///< multiplications
};
BlockTrainingEstimate estimate_block_training(const DecoderConfig& config,
                                              const QuantizeOptions& options, int threads);

class BlockTraining {
 public:
  struct Setting {
    const Model& model;
    const LayerRunner& original;
    const QuantizeOptions& options;
    const OutputMetrics& metrics;  ///< with those of the streams
    const LinearOptions& products;
    const Exec& exec;
  };
  /// Everything is referred to. Two residual streams of `text` are in memory, or in a file in
  /// options.spill_folder.
  BlockTraining(const Setting& setting, const CalibrationText& text);

  /// In front of the first layer.
  void embed();
  /// The original's stream goes behind the next layer; then that may be trained.
  void aim(int layer);
  /// Trains the layer whose matrices the method has made, in `finished`: they become what is best
  /// on the samples held out. False where that is what they are.
  bool train(int layer, std::vector<FinishedWeight>& finished);
  /// The quantized model's stream goes behind the layer as it is now.
  void pass(const Layer& now) { given_.run(now); }

 private:
  double epoch(LayerTrainer& trainer, int64_t number);
  FakeQuantization quantization(const std::vector<FinishedWeight>& finished) const;
  LayerSamples rows();
  void report(int layer, double error, double before);

  const Setting s_;
  SampleStream given_, wanted_;
  std::vector<size_t> learnt_, held_out_;  // samples
  int64_t done_ = 0;                       // epochs
};

}  // namespace nibble
