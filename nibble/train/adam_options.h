// What Adam is told, by every trainer.
#pragma once

#include <cstdint>

namespace nibble {

struct AdamOptions {
  double learning_rate = 0.01;
  double beta1 = 0.85, beta2 = 0.99, eps = 1e-8;  ///< eps outside the root; bias-corrected
  double weight_decay = 0;                        ///< decoupled (AdamW), matrices only
  int64_t warmup_steps = 0;
  double final_fraction = 0;  ///< the learning rate falls linearly to this share of its peak
  double clip_norm = 0;       ///< 0: gradients are not clipped
};

}  // namespace nibble
