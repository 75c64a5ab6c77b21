// A text that a model goes on with, turn by turn: what it has read stays in a KV cache, and only
// what has changed is read again.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "nibble/eval/generation.h"

namespace nibble {

class CachedText {
 public:
  /// `decoder` must outlive it. The cache holds the decoder's whole context; its memory is taken as
  /// it is written.
  CachedText(const Decoder& decoder, DType kv);

  /// The tokens chosen behind `prompt` (at least one token), at most as many as the context has
  /// room for. Of the prompt only what does not begin as the last text did is read; a model with a
  /// state (short convolutions) reads all of it where anything has changed. Error{invalid_argument}
  /// naming both lengths where the prompt alone does not fit the context.
  std::vector<int32_t> go_on(std::span<const int32_t> prompt, const GenerateOptions& options,
                             PyRandom& random, const Exec& exec, const TokenHook& hook = {});
  /// Of each token that the last call chose, where its options ask for them.
  const std::vector<ChosenChance>& logprobs() const { return logprobs_; }
  /// Tokens of the last prompt that were read.
  int64_t read() const { return read_; }
  /// Seconds that the last prompt took to be read, its first new token chosen, and all behind it.
  double prefill_seconds() const { return prefill_seconds_; }
  double decode_seconds() const { return decode_seconds_; }

 private:
  std::vector<float> read_prompt(std::span<const int32_t> prompt, const GenerateOptions& options,
                                 const Exec& exec);
  int64_t kept(std::span<const int32_t> prompt) const;

  Session session_;
  KvCache cache_;
  std::vector<int32_t> cached_;  // the tokens in the cache
  std::vector<ChosenChance> logprobs_;
  int64_t read_ = 0;
  double prefill_seconds_ = 0, decode_seconds_ = 0;
};

}  // namespace nibble
