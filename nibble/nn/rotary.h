// Rotary position embedding (Su et al. 2021, RoFormer), its halves as Hugging Face pairs them, and
// the ways published models stretch it to longer contexts.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace nibble {

enum class RopeScaling {
  none,
  linear,    ///< positions divided by `factor` (Chen et al. 2023)
  llama3,    ///< slow frequencies divided by `factor`, fast ones kept, a ramp between (Llama 3.1)
  yarn,      ///< the same idea with a ramp over dimensions and a temperature (Peng et al. 2023)
  dynamic,   ///< theta grows beyond the context; within it by `alpha` alone (Hunyuan)
  longrope,  ///< a divisor for each frequency, others in long sequences (Ding et al. 2024)
  proportional,  ///< all of a head's pairs are turned, those beyond `part` by nothing (Gemma 4)
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
  double alpha = 0;  ///< dynamic: theta times alpha^(d / (d - 2)); 0: as it is
  std::vector<double> short_factors = {}, long_factors = {};  ///< longrope
  double part = 1;    ///< of each head that is turned, its first int(part * head_dim) elements
  int64_t begin = 0;  ///< of a head's elements the first that is turned; `part` is of those behind
  bool neighbours = false;  ///< pairs are elements 2i and 2i + 1, else i and half + i

  bool operator==(const RopeConfig&) const = default;
};

/// YaRN's factor of queries and keys stretched by `factor`.
double yarn_temperature(double factor, double mscale);

/// Elements of a head that are turned.
int64_t turned_width(const RopeConfig& config, int64_t head_dim);

class Rotary {
 public:
  Rotary() = default;
  /// turned_width(config, head_dim) is even and at least 2.
  Rotary(const RopeConfig& config, int64_t head_dim);
  /// Pairs of a head that are turned.
  int64_t pairs() const { return static_cast<int64_t>(frequencies_.size()); }
  /// Cosines and sines of the angles of a position, pairs() of each, in a sequence that may become
  /// `length` tokens long.
  void angles(int64_t position, int64_t length, float* cos, float* sin) const;
  /// Turns one head in place.
  void apply(const float* cos, const float* sin, float* head) const;
  bool neighbours() const { return neighbours_; }
  int64_t begin() const { return begin_; }  ///< RopeConfig::begin
  /// Radians a position, of short sequences.
  std::span<const float> frequencies() const { return frequencies_; }

 private:
  std::vector<float> frequencies_, long_frequencies_;  // the latter empty where they are the same
  int64_t original_context_ = 0, begin_ = 0;
  bool neighbours_ = false;
  float attention_factor_ = 1.0f;
};

}  // namespace nibble
