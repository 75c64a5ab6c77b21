// What a model writes by itself beside what its baseline writes: where texts part, and how many
// still agree after how many tokens.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "nibble/core/exec.h"
#include "nibble/eval/generation.h"
#include "nibble/eval/protocol.h"
#include "nibble/model/decoder.h"

namespace nibble {

/// The index of the first token that differs; -1 where the texts are the same. A text that ends
/// first differs where it ends.
int64_t first_difference(std::span<const int32_t> a, std::span<const int32_t> b);

/// Of `count` sequences, spread over all of them, the first `length` ids each (or half of a shorter
/// one): what texts to compare begin with.
std::vector<std::vector<int32_t>> prompts_from(const std::vector<ScoredSequence>& sequences,
                                               int64_t count, int64_t length);

/// What the model writes greedily behind each prompt: `tokens` tokens, none of them a stop.
std::vector<std::vector<int32_t>> continuations(const Decoder& model,
                                                const std::vector<std::vector<int32_t>>& prompts,
                                                int64_t tokens, DType kv, const Exec& exec);

/// Element k is the share of texts whose first k + 1 tokens are the baseline's. Empty without
/// texts.
std::vector<double> prefix_agreement(const std::vector<std::vector<int32_t>>& base,
                                     const std::vector<std::vector<int32_t>>& model);

}  // namespace nibble
