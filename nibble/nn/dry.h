// DRY ("don't repeat yourself"): a token that would go on repeating what stands in the text already
// is made less likely, the more the longer the repetition (p-e-w 2024; as llama.cpp does it).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

namespace nibble {

/// What no repetition reaches across, as tokens: of each that can begin a breaker the tokens that
/// must follow it; none where the token has it all.
using DryBreakers = std::unordered_map<int32_t, std::vector<std::vector<int32_t>>>;

struct DryOptions {
  double multiplier = 0.0;     ///< 0: off
  double base = 1.75;          ///< 1 or more
  int64_t allowed_length = 2;  ///< a shorter repetition is free
  std::shared_ptr<const DryBreakers> breakers = {};
};

/// Takes multiplier * base^(n - allowed_length) off the logit of each token that would go on with a
/// repetition of n >= allowed_length tokens at the end of `history`, where n counts no token at or
/// before the last breaker. A token that is a breaker by itself is never made less likely. Time
/// grows linearly with the history.
void penalize_repetition(std::span<float> logits, std::span<const int32_t> history,
                         const DryOptions& options);

}  // namespace nibble
