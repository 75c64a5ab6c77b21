// BlockWalk: a model's blocks one at a time, for calibration: whole sequences go through one block,
// the block is let go, and the next one follows. Only one block and the residual streams are in
// memory.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "nibble/model/decoder.h"

namespace nibble {

class BlockWalk {
 public:
  /// Reads embeddings through `load`; throws what Decoder throws.
  BlockWalk(const DecoderConfig& config, WeightLoader load);

  /// The residual stream of a sequence before the first block, [ids.size(), hidden_size].
  std::vector<float> embed(std::span<const int32_t> ids) const;
  /// Builds block `layer` of the weights that the loader gives now.
  Block block(int layer, const LinearOptions& options = {}) const;
  /// Runs a whole sequence of `x.size() / hidden_size` rows through a block, in place. The observer
  /// of `exec` hears what each Linear reads.
  void run(const Block& block, std::span<float> x, const Exec& exec) const;
  /// out = the final norm of x (what lm_head reads), row by row.
  void final_norm(std::span<float> x) const;

  const DecoderConfig& config() const { return config_; }

 private:
  DecoderConfig config_;
  WeightLoader load_;
  ModelEnds ends_;
  Rotary rotary_;
};

}  // namespace nibble
