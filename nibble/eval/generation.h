// Generating text with a Decoder, and timing it.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "nibble/core/exec.h"
#include "nibble/eval/protocol.h"
#include "nibble/model/session.h"
#include "nibble/nn/sampling.h"

namespace nibble {

struct GenerateOptions {
  int64_t max_new_tokens = 64;
  SamplingOptions sampling;
  std::vector<int32_t> stop = {};  ///< tokens that end the text and are not returned
  /// Most tokens of a prompt that go through the decoder at once: memory stays bounded. Results
  /// differ by rounding alone.
  int64_t prefill_chunk = 512;
  DType kv = DType::f32;  ///< of the cache; whatever make_cache() takes
  /// Where the context is full, drop the older half of what follows the first token and read the
  /// rest again, so that a text of any length can be written. Else that is an error beforehand.
  bool shift = false;
  std::optional<int64_t> logprobs = {};  ///< as many of the likeliest tokens with each chosen one
};

/// A token and the logarithm of its probability.
struct TokenChance {
  int32_t id = 0;
  double logprob = 0;
};

/// By the model alone: neither temperature nor any other option of sampling changes it.
struct ChosenChance {
  TokenChance chosen;
  std::vector<TokenChance> best;  ///< the likeliest tokens, likeliest first
};

/// Called with each new token as it is chosen; returning false stops.
using TokenHook = std::function<bool(int32_t)>;

/// Reads `ids` behind what is in the cache, `chunk` at a time; the logits of the last position.
std::vector<float> prefill(Session& session, std::span<const int32_t> ids, KvCache& cache,
                           int64_t chunk, const Exec& exec);

/// The tokens chosen after `prompt` (at least one token; Error{invalid_argument} naming both
/// lengths where prompt and new tokens do not fit the context, unless `shift`).
std::vector<int32_t> generate(const Decoder& model, std::span<const int32_t> prompt,
                              const GenerateOptions& options, PyRandom& random, const Exec& exec,
                              const TokenHook& hook = {});

/// One text of a batch.
struct GenerateRequest {
  std::vector<int32_t> prompt;
  uint64_t seed = 42;
  TokenHook hook = {};
  int64_t max_new_tokens = 0;  ///< 0: as many as the options say
};

struct BatchResult {
  std::vector<std::vector<int32_t>> ids;            ///< of each request, in order
  std::vector<std::vector<ChosenChance>> logprobs;  ///< of each token of `ids`, where asked for
  int64_t prompt_tokens = 0, new_tokens = 0;
  double prefill_seconds = 0;  ///< reading every prompt and choosing the first token of each
  double decode_seconds = 0;   ///< all tokens behind the first ones
};

/// Texts of several requests, a token of each at a time; each is what generate() gives for it
/// alone. Every request has a cache of its own for as long as the batch runs.
BatchResult generate_batch(const Decoder& model, const std::vector<GenerateRequest>& requests,
                           const GenerateOptions& options, const Exec& exec);

/// Text that the model writes itself, at temperature 1 from its first token (BOS, or token 0 where
/// it has none): `count` sequences of `length` tokens each, every id but the first scored. What a
/// model is measured on when no text is given.
std::vector<ScoredSequence> generated_sequences(const Decoder& model, const Tokenizer& tokenizer,
                                                int64_t count, int64_t length, uint64_t seed,
                                                const Exec& exec);

}  // namespace nibble
