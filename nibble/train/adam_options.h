// What Adam is told, by every trainer.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace nibble {

/// How the learning rate falls behind the warm-up: in a straight line or along half a cosine
/// (Loshchilov and Hutter 2017) to final_fraction of its peak, or not at all.
enum class Schedule { linear, cosine, constant };
/// By name; Error{invalid_argument} lists them.
Schedule parse_schedule(std::string_view name);
std::string_view to_string(Schedule schedule);
std::vector<std::string_view> schedule_names();

struct AdamOptions {
  double learning_rate = 0.01;
  double beta1 = 0.85, beta2 = 0.99, eps = 1e-8;  ///< eps outside the root; bias-corrected
  double weight_decay = 0;                        ///< decoupled (AdamW), matrices only
  int64_t warmup_steps = 0;
  Schedule schedule = Schedule::linear;
  double final_fraction = 0;  ///< the learning rate falls to this share of its peak
  double clip_norm = 0;       ///< 0: gradients are not clipped
};

}  // namespace nibble
