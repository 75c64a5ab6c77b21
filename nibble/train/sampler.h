// Which sequences a step trains on: a function of seed and step alone, so that a resumed run needs
// no saved random state.
#pragma once

#include <cstdint>
#include <vector>

#include "nibble/train/batch.h"

namespace nibble {

/// The numbers 0 .. n-1 in the random order of an epoch.
std::vector<int64_t> epoch_order(uint64_t seed, uint64_t epoch, size_t n);

/// Replaces each token that is read by a random one of `vocabulary` with probability `share`: a
/// teacher says something of any text, and a student that has seen more of them knows its function,
/// not its answers on one text. A function of seed and step alone.
void corrupt_tokens(Batch& batch, double share, int64_t vocabulary, uint64_t seed, int64_t step);

/// Without `windows`: all sequences in a new random order each epoch, step after step. With: for
/// each row of the batch one window of context + 1 ids at a random offset (shorter where the
/// sequence is).
class Sampler {
 public:
  Sampler(const std::vector<std::vector<int32_t>>& data, uint64_t seed, int64_t batch,
          int64_t context, bool windows);
  /// The batch of a step, 0 for the first.
  void fill(int64_t step, Batch& out);

 private:
  void append_window(uint64_t start, Batch& out) const;
  void use_epoch(uint64_t epoch);

  const std::vector<std::vector<int32_t>>& data_;
  uint64_t seed_;
  int64_t batch_, context_;
  bool windows_;
  std::vector<uint64_t> window_ends_;  ///< running sum of the windows each sequence has
  uint64_t epoch_ = UINT64_MAX;
  std::vector<int64_t> order_;
};

}  // namespace nibble
