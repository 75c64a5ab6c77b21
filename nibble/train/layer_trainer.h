// Training of one layer by itself, with the quantizer in the loop: what it makes of rows becomes
// like given rows. One layer's weights, gradients and moments are in memory.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "nibble/quant/output_metric.h"
#include "nibble/train/layer_gradient.h"
#include "nibble/train/step_runner.h"
#include "nibble/train/whole_decoder.h"

namespace nibble {

/// Takes the residual stream of one sample in front of the layer, and as it should be behind it,
/// both [rows, hidden_size].
using LayerRows = std::function<void(const float* x, const float* wanted, int64_t rows)>;
/// Hands the rows of one sample over. Different samples may be asked for by different threads.
using LayerSamples = std::function<void(size_t sample, const LayerRows& f)>;

/// Which layer is trained, and how much an error e of its stream counts: e G e^T. All of it must
/// outlive the trainer.
struct TrainedLayer {
  const DecoderConfig& config;
  int layer;
  const TrainOps<float>& ops;
  const OutputMetric& metric;
};

/// Bytes of gradients of chunks for a layer of so many numbers, in steps of so many samples.
int64_t layer_gradient_bytes(int64_t numbers, int64_t samples);

class LayerTrainer {
 public:
  /// `load` gives the weights that training begins with. Only those that `quantization` names are
  /// learnt, and their scales; `narrow` as WholeDecoder has it.
  LayerTrainer(const TrainedLayer& what, const WeightLoader& load,
               const FakeQuantization& quantization, bool narrow);
  ~LayerTrainer();

  /// One step of Adam down the mean error of a row of these samples, which it returns. The same
  /// bytes for any number of threads.
  double step(std::span<const size_t> samples, const LayerSamples& rows,
              const TrainAdam<float>& adam, int threads);
  /// The mean error of a row of these samples.
  double measure(std::span<const size_t> samples, const LayerSamples& rows, int threads);

  /// What is trained, to be put back later.
  std::vector<float> state() const;
  void restore(std::span<const float> state);
  /// Every parameter of the layer as it is now.
  TrainedWeights result() { return parts_.result(runner_.weights.data()); }

 private:
  struct Worker;
  struct Sum {
    double error = 0;
    int64_t rows = 0;
    double mean() const;
  };
  Sum run(Worker& worker, size_t sample, const LayerSamples& rows, float scale,
          const LayerSlopes<float>* into);
  const float* slope_of(Worker& worker, int64_t rows) const;
  void reserve(int threads);

  const TrainedLayer what_;
  WholeDecoder parts_;
  StepRunner runner_;
  const DecoderView<float> view_;
  std::vector<std::unique_ptr<Worker>> workers_;  // one a thread
  std::vector<DecoderSlopes<float>> slopes_;      // one a chunk
  int64_t steps_ = 0;
};

}  // namespace nibble
