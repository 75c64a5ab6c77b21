// Choosing the next token.
//
// The order, of which each step sees what the ones before it left: logit bias, repetition, presence
// and frequency penalties, DRY, top-n-sigma, temperature, top-k, top-p, min-p, typical-p. That of
// transformers; llama.cpp filters first and applies the temperature last.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "nibble/core/random.h"
#include "nibble/nn/dry.h"

namespace nibble {

/// What is added to a token's logit; minus infinity: it is never chosen.
struct LogitBias {
  int32_t id = 0;
  float value = 0;
};

struct SamplingOptions {
  double temperature = 1.0;  ///< 0 chooses the most likely token
  int64_t top_k = 0;         ///< keep the k most likely tokens (Fan et al. 2018); 0: all
  double top_p =
      1.0;  ///< keep the fewest most likely tokens whose share reaches p (Holtzman et al. 2020)
  double min_p =
      0.0;  ///< keep tokens at least this share as likely as the likeliest (Nguyen et al. 2024)
  /// Logits of tokens that occurred are divided (where positive) or multiplied (where negative) by
  /// it (Keskar et al. 2019); 1: none.
  double repetition_penalty = 1.0;
  /// Taken off the logit of a token that occurred, once, and once for each time it did (OpenAI's
  /// two penalties; the prompt's tokens count, as in llama.cpp).
  double presence_penalty = 0.0, frequency_penalty = 0.0;
  /// Keep the tokens whose information is nearest to the entropy, until their share reaches p
  /// (Meister et al. 2023); 1: all.
  double typical_p = 1.0;
  /// Keep tokens whose logit is within this many standard deviations of the highest (Tang et al.
  /// 2024); 0: all.
  double top_n_sigma = 0.0;
  DryOptions dry = {};
  std::vector<LogitBias> bias = {};
};

/// Throws Error{invalid_argument} naming the option that is out of its range.
void validate(const SamplingOptions& options);

/// What the steps above leave of softmax(logits / temperature), not normalised: 0 for tokens that
/// cannot be drawn. `history` holds the tokens so far, the prompt's first. At a temperature of 0
/// the likeliest token alone has a weight. Error{invalid_argument} where no token is left.
std::vector<double> sampling_weights(std::span<const float> logits,
                                     std::span<const int32_t> history,
                                     const SamplingOptions& options);

/// One token drawn by these weights and random.choices' rule, so that two models with the same seed
/// differ only where their distributions do.
int32_t sample(std::span<const float> logits, std::span<const int32_t> history,
               const SamplingOptions& options, PyRandom& random);

}  // namespace nibble
