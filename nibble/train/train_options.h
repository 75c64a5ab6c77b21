// What a run of training is told.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "nibble/model/config.h"
#include "nibble/train/adam_options.h"
#include "nibble/train/step_options.h"
#include "nibble/train/whole_decoder.h"

namespace nibble {

struct TrainOptions {
  DecoderConfig config;
  AdamOptions adam;
  int64_t steps = 1000;
  int64_t batch = 32;  ///< sequences a step
  uint64_t seed = 42;  ///< of the weights and of the order of sequences
  double init_std = 0.08;
  bool random_windows = false;  ///< running text: each sequence a window at a random offset
  int64_t window = 0;           ///< tokens of such a window; 0: the config's context
  StepOptions step;
  std::set<std::string> frozen;  ///< parameters that stay, by stored name
  FakeQuantization quantization;
  /// What tells the run's beginning and its teacher from others (a hash of their weights): a
  /// checkpoint belongs to one of them.
  std::string origin;

  /// Tokens of a sequence as it goes through the model.
  int64_t sequence_tokens() const { return window > 0 ? window : config.context; }
};

/// `options` themselves. Error{invalid_argument} for what no run can have, or for data that do not
/// fit them.
const TrainOptions& checked(const TrainOptions& options,
                            const std::vector<std::vector<int32_t>>& data);

/// All that decides what a run computes, as text: two runs with the same text and data are the
/// same.
std::string describe(const TrainOptions& options);

}  // namespace nibble
