// A block taken apart: what each group of projections reads, and what follows from it, for one
// sequence at a time. Calibration stands between the steps.
#pragma once

#include <cstdint>
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
  std::vector<float> norm(std::span<const float> x, std::span<const float> gain,
                          std::span<const float> bias) const;
  std::vector<float> mixed(const Block& block, std::span<const float> h) const;
  std::vector<float> activated(const Block& block, std::span<const float> h) const;

  DecoderConfig config_;
  AttentionShape shape_;
  Rotary rotary_;
};

}  // namespace nibble
