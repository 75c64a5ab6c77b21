// What output_metrics() (compress/fisher_walk.h) will need.
#pragma once

#include <cstdint>

#include "nibble/model/config.h"

namespace nibble {

struct FisherEstimate {
  int64_t metric_bytes = 0;  ///< of what it gives
  int64_t stream_bytes = 0;  ///< residual streams, which may be in a file
  int64_t work_bytes = 0;    ///< head, one block's weights, the samples at work
  double products = 0;       ///< multiplications in f32
};

/// With FisherOptions' defaults, on a text of `tokens` in samples of `length`.
FisherEstimate estimate_fisher(const DecoderConfig& config, int64_t tokens, int64_t length,
                               int threads);

}  // namespace nibble
