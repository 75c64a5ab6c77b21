// Choosing the next token.
#pragma once

#include <cstdint>
#include <span>

#include "nibble/core/random.h"

namespace nibble {

struct SamplingOptions {
  double temperature = 1.0;  ///< 0 chooses the most likely token
};

/// One token drawn from softmax(logits / temperature) by random.choices' rule, so that two models
/// with the same seed differ only where their distributions do.
int32_t sample(std::span<const float> logits, const SamplingOptions& options, PyRandom& random);

}  // namespace nibble
