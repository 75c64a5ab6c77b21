// Losses over logits: cross-entropy and KL divergence, in f64 over f32 logits.
#pragma once

#include <cstdint>
#include <span>

namespace nibble {

/// log(sum(exp(logits))), the highest logit taken out first.
double log_sum_exp(std::span<const float> logits);

/// -log softmax(logits)[target], nats.
double cross_entropy(std::span<const float> logits, int32_t target);

/// KL(base || model) in nats between the two softmax distributions; at least 0 where
/// all logits are finite, NaN where one is NaN.
double kl_divergence(std::span<const float> base, std::span<const float> model);

/// The index of the highest logit, the lowest index where several are.
int32_t argmax(std::span<const float> logits);

}  // namespace nibble
