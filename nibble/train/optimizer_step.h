// One step over one batch, in one parallel region: transpose weights; chunks; reduce and Adam.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "nibble/kernels/train.h"
#include "nibble/train/decoder_pass.h"

namespace nibble {

/// Weights and Adam's moments under training. The results are the same bytes for any number of
/// threads: chunks are cut from the batch alone, each has its own gradient, and they are summed in
/// order.
class StepRunner {
 public:
  StepRunner(const ParamLayout& layout, const TrainOps<float>& ops);

  /// Returns the mean loss over the batch's rows. adam.gradient_scale is found here where
  /// clip_norm > 0; adam.decay applies to matrices only.
  double step(const Batch& batch, TrainAdam<float> adam, double clip_norm, int threads);

  Buffer<float> weights, first, second;

 private:
  struct Worker;
  void prepare(int64_t longest_chunk, size_t threads);
  void transpose_share(int64_t worker, int64_t workers);
  void chunk_gradient(const Batch& batch, size_t chunk, DecoderPass<float>& pass);
  void reduce(int64_t begin, int64_t end);
  void adam_range(TrainAdam<float> adam, int64_t begin, int64_t end);
  double clip_scale(double clip_norm) const;

  const ParamLayout& layout_;
  const TrainOps<float>& ops_;
  Buffer<float> transposed_;
  std::vector<Chunk> chunks_;
  std::vector<double> chunk_loss_;
  std::vector<Buffer<float>> gradients_;  ///< one a chunk; the sum ends in the first
  std::vector<double> block_squares_;     ///< of the summed gradient, for clipping
  std::vector<std::unique_ptr<DecoderPass<float>>> passes_;  ///< one a thread
};

}  // namespace nibble
