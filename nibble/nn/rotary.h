// Rotary position embedding (Su et al. 2021, RoFormer), its halves as Hugging Face pairs them, and
// the ways published models stretch it to longer contexts.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace nibble {

enum class RopeScaling {
  none,
  linear,  ///< positions divided by `factor` (Chen et al. 2023)
  llama3,  ///< slow frequencies divided by `factor`, fast ones kept, a ramp between (Llama 3.1)
  yarn,    ///< the same idea with a ramp over dimensions and a temperature (Peng et al. 2023)
};

struct RopeConfig {
  double theta = 10000.0;
  RopeScaling scaling = RopeScaling::none;
  double factor = 1.0;
  int64_t original_context = 0;  ///< the context before stretching; llama3 and yarn need it
  double low_freq_factor = 1.0, high_freq_factor = 4.0;  ///< llama3
  double beta_fast = 32.0, beta_slow = 1.0;              ///< yarn: turns that bound the ramp
  double attention_factor = 0.0;  ///< yarn: what cos and sin are multiplied by; 0 = by its formula
  double mscale = 0.0, mscale_all_dim = 0.0;  ///< yarn: parts of that formula, 0 = absent
  bool truncate = true;                       ///< yarn: the ramp's ends are whole dimensions

  bool operator==(const RopeConfig&) const = default;
};

class Rotary {
 public:
  Rotary() = default;
  /// head_dim is even.
  Rotary(const RopeConfig& config, int64_t head_dim);
  /// Cosines and sines of the angles of a position, head_dim / 2 of each.
  void angles(int64_t position, float* cos, float* sin) const;
  /// Turns `heads` heads side by side in place. Element i of a head pairs with element i + head_dim
  /// / 2.
  void apply(const float* cos, const float* sin, int64_t heads, float* x) const;
  std::span<const float> frequencies() const { return frequencies_; }

 private:
  std::vector<float> frequencies_;  // radians a position, [head_dim / 2]
  float attention_factor_ = 1.0f;
};

}  // namespace nibble
