// Generating text with a Decoder, and timing it.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "nibble/core/exec.h"
#include "nibble/eval/measurement.h"
#include "nibble/eval/protocol.h"
#include "nibble/model/decoder.h"
#include "nibble/nn/sampling.h"

namespace nibble {

struct GenerateOptions {
  int64_t max_new_tokens = 64;
  SamplingOptions sampling;
  std::optional<int32_t> stop;  ///< a token that ends the text and is not returned
};

/// Called with each new token as it is chosen; returning false stops.
using TokenHook = std::function<bool(int32_t)>;

/// The tokens chosen after `prompt` (at least one token; Error{invalid_argument} where it fills the
/// context).
std::vector<int32_t> generate(const Decoder& model, std::span<const int32_t> prompt,
                              const GenerateOptions& options, PyRandom& random, const Exec& exec,
                              const TokenHook& hook = {});

/// Text that the model writes itself, at temperature 1 from its first token (BOS, or token 0 where
/// it has none): `count` sequences of `length` tokens each, every id but the first scored. What a
/// model is measured on when no text is given.
std::vector<ScoredSequence> generated_sequences(const Decoder& model, const Tokenizer& tokenizer,
                                                int64_t count, int64_t length, uint64_t seed,
                                                const Exec& exec);

struct GenerationSpeed {
  Latency latency;               ///< of one whole generation
  double tokens_per_second = 0;  ///< new tokens over the median latency
};

/// Times `runs` greedy generations of the same `tokens` new tokens behind `prompt` after `warmup`
/// more.
GenerationSpeed time_generation(const Decoder& model, std::span<const int32_t> prompt,
                                int64_t tokens, int runs, int warmup, const Exec& exec);

/// Mean, standard deviation, minimum and median of a list of seconds.
Latency summarize_latency(std::span<const double> seconds);

}  // namespace nibble
