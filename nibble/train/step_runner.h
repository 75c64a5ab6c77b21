// One step of training whatever has chunks and gradients, in one parallel region: what the chunks
// multiply with is made; chunks; sum of gradients, clipping, Adam.
#pragma once

#include <cstdint>
#include <exception>
#include <functional>
#include <vector>

#include "nibble/kernels/train.h"
#include "nibble/train/buffer.h"
#include "nibble/train/layout.h"

namespace nibble {

class Team;

/// What the trained thing does: adds the gradient of a chunk, by its number, to StepRunner's
/// gradient(chunk) and returns the sum of its losses. `worker` numbers the calling thread.
using ChunkGradient = std::function<double(size_t worker, size_t chunk)>;

/// What is done before and behind the chunks, each by all threads: `share` of `shares`.
struct StepHooks {
  /// Makes what chunks read from the trained numbers.
  std::function<void(int64_t share, int64_t shares)> prepare;
  /// The summed gradient by what chunks read becomes that by the trained numbers, in place. Empty:
  /// they are the same.
  std::function<void(float* gradient, int64_t share, int64_t shares)> pull_back = {};
};

/// Weights and Adam's moments under training. The results are the same bytes for any number of
/// threads: chunks depend on the batch alone, each has its own gradient, and they are summed in
/// order.
class StepRunner {
 public:
  StepRunner(const FlatLayout& layout, const TrainOps<float>& ops, StepHooks hooks);

  /// Makes the gradients of so many chunks.
  void reserve(size_t chunks);
  /// As long as layout.size; where it is stays.
  float* gradient(size_t chunk) { return gradients_[chunk].data(); }

  /// Returns the sum of the chunks' losses. adam.gradient_scale is found here where clip_norm > 0;
  /// adam.decay applies to matrices only. What a chunk throws comes out, of several the first
  /// chunk's, and leaves weights and moments as they were.
  double step(size_t chunks, const ChunkGradient& chunk_gradient, TrainAdam<float> adam,
              double clip_norm, int threads);

  /// What chunks multiply with is made as before a step, then f(worker, chunk) runs for each of
  /// them, and nothing is learnt. What a chunk throws comes out as of step().
  void evaluate(size_t chunks, int threads, const std::function<void(size_t, size_t)>& f);

  Buffer<float> weights, first, second;

 private:
  void run_chunks(const Team& team, const std::function<void(size_t, size_t)>& f);
  void rethrow() const;
  bool failed() const;
  void reduce(size_t chunks, int64_t begin, int64_t end);
  void pull_back(Team& team);
  void freeze(int64_t begin, int64_t end);
  template <class F>
  void for_each_frozen(int64_t begin, int64_t end, F f) const;
  void learn(const TrainAdam<float>& adam, int64_t begin, int64_t end);
  void adam_range(TrainAdam<float> adam, int64_t begin, int64_t end);
  double block_square(int64_t block) const;
  double clip_scale(double clip_norm) const;

  const FlatLayout& layout_;
  const TrainOps<float>& ops_;
  const StepHooks hooks_;
  std::vector<double> chunk_loss_;
  std::vector<std::exception_ptr> chunk_failure_;
  std::vector<Buffer<float>> gradients_;  ///< one a chunk; the sum ends in the first
  std::vector<double> block_squares_;     ///< of the summed gradient, for clipping
};

}  // namespace nibble
