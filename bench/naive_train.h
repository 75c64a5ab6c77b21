// The comparison: microGPT training as anyone would write it in C, one name after another, explicit
// gradients, plain loops over f32, one core. Compiled with -O3 -march=native.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace nibble::bench {

class NaiveTrainer {
 public:
  explicit NaiveTrainer(uint64_t seed);
  /// One step over names[first .. first + batch), wrapping around; returns the mean loss a token.
  float step(const std::vector<std::vector<int32_t>>& names, size_t first, int batch, float rate);

 private:
  std::vector<float> weights_, gradient_, first_, second_;
  int steps_ = 0;
};

}  // namespace nibble::bench
