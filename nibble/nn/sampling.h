// Choosing the next token.
#pragma once

#include <cstdint>
#include <span>

#include "nibble/core/random.h"

namespace nibble {

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
};

/// Throws Error{invalid_argument} naming the option that is out of its range.
void validate(const SamplingOptions& options);

/// One token drawn from softmax(logits / temperature) after the penalty and the filters (top-k,
/// then top-p, then min-p, as transformers orders them), by random.choices' rule, so that two
/// models with the same seed differ only where their distributions do. `history` holds the tokens
/// so far.
int32_t sample(std::span<const float> logits, std::span<const int32_t> history,
               const SamplingOptions& options, PyRandom& random);

}  // namespace nibble
