// The bigram baseline: what a model must beat to have learned more than which character follows
// which.
#pragma once

#include <cstdint>

#include "nibble/text/line_data.h"

namespace nibble {

/// Held-out negative log-likelihood a token, nats, of pair counts of the training part, one added
/// to each (Laplace). 0 where nothing is held out.
double bigram_loss(const SequenceData& data, int64_t vocab_size);

}  // namespace nibble
