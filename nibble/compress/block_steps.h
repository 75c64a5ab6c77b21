// The steps of a block (model/block_pass.h) for one sequence at a time: what each group of
// projections reads, and what follows from it. Calibration stands between them.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "nibble/model/decoder.h"

namespace nibble {

/// The groups of one block in the order in which they run.
enum class Stage { qkv, o, up, down };
inline constexpr Stage kStages[] = {Stage::qkv, Stage::o, Stage::up, Stage::down};

/// The roles of a stage's members in this config.
std::vector<Role> roles_of(const DecoderConfig& config, Stage stage);
LinearGroup& group_of(Block& block, Stage stage);

class BlockSteps {
 public:
  explicit BlockSteps(const DecoderConfig& config);

  /// What the group of `stage` reads. `x` is the residual stream before the stage's half of the
  /// block (attention or MLP); `before` what the stage ahead of it read (for o and down). On the
  /// calling thread.
  std::vector<float> input(const Block& block, Stage stage, std::span<const float> x,
                           std::span<const float> before) const;
  /// x += what o or down makes of its input.
  void add_output(const Block& block, Stage stage, std::span<const float> input,
                  std::vector<float>& x) const;

 private:
  // f(pass, team) with the residual stream of one sequence in the pass, on the calling thread.
  template <class F>
  void pass(const Block& block, int64_t rows, F f) const;

  std::unique_ptr<KvCache> take_cache(int64_t rows) const;

  DecoderConfig config_;
  Rotary rotary_;
  // Between passes, with the memory that they work in: clearing new pages for each takes longer
  // than some of the steps. As many as threads have been at it together.
  mutable std::mutex idle_mutex_;
  mutable std::vector<std::unique_ptr<KvCache>> idle_;
};

}  // namespace nibble
