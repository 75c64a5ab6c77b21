// What a text has been so far, and how its next token is chosen.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "nibble/eval/generation.h"

namespace nibble {

class TokenChoice {
 public:
  /// `options` must outlive it.
  TokenChoice(std::span<const int32_t> prompt, const GenerateOptions& options,
              const PyRandom& random);

  /// The token behind all that was chosen; nothing where it is one that ends the text.
  std::optional<int32_t> choose(std::span<const float> logits);

  /// Prompt and what was chosen.
  std::span<const int32_t> history() const { return history_; }
  int64_t count() const { return std::ssize(history_) - prompt_; }
  const PyRandom& random() const { return random_; }
  std::vector<int32_t> take_ids() { return {history_.begin() + prompt_, history_.end()}; }
  std::vector<ChosenChance> take_logprobs() { return std::move(logprobs_); }

 private:
  const GenerateOptions& options_;
  PyRandom random_;
  int64_t prompt_;
  std::vector<int32_t> history_;
  std::vector<ChosenChance> logprobs_;
};

/// What the model alone thinks of `chosen`, and its `best` likeliest tokens; of two as likely, the
/// lower id comes first.
ChosenChance chances(std::span<const float> logits, int32_t chosen, int64_t best);

}  // namespace nibble
