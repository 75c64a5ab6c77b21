// Reference mode: microgpt.py again, in f64, with CPython's random numbers, digit by digit
// (MICROGPT section 2).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "nibble/core/exec.h"
#include "nibble/core/tensor_source.h"
#include "nibble/train/trainer.h"

namespace nibble {

struct ReferenceResult {
  DecoderConfig config;
  std::vector<double> losses;  ///< one a step
  double weight_sum = 0;       ///< of all weights after the last step, in table order
  std::vector<std::string>
      samples;             ///< 20 names at temperature 0.5, drawn from the same random stream
  double heldout_nll = 0;  ///< per token over the last 3,203 shuffled names
  int64_t tokens = 0;      ///< predicted while training
  double seconds = 0;      ///< of training
  TensorMap weights;       ///< rounded to f32, by stored name
};

/// text: one name a line. steps is 1000 in the original (the learning rate falls to 0 over 1,000
/// steps whatever `steps` says).
ReferenceResult train_reference(std::string_view text, uint64_t seed, int64_t steps,
                                const Exec& exec, const TrainHook& hook = {});

}  // namespace nibble
