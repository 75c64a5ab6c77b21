// How fast a decoder reads a prompt and writes behind it.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "nibble/core/exec.h"
#include "nibble/eval/latency.h"
#include "nibble/eval/rounds.h"
#include "nibble/model/decoder.h"

namespace nibble {

struct SpeedOptions {
  int64_t prefill = 256;  ///< tokens of the prompt, only the last position's logits computed
  int64_t decode = 64;    ///< tokens behind it, one at a time
  int runs = kEnoughRuns;
  int warmup = 1;
  DType kv = DType::f32;  ///< of the KV cache
  int64_t sequences = 1;  ///< that are decoded together, each behind the same prompt
};

struct SpeedResult {
  Latency prefill, decode;  ///< seconds of the whole prompt; of all decoded tokens
  /// By the medians. Prefill is of one prompt; decoding counts the tokens of all sequences.
  double prefill_tokens_per_second = 0, decode_tokens_per_second = 0;
  double waited_share = 0;  ///< as run_rounds() gives it
};

/// Of each model, in rounds in which each has its turn. The tokens are a fixed pattern: what they
/// are does not matter for the time. Error{invalid_argument} where they do not fit a context.
std::vector<SpeedResult> measure_speed(std::span<const Decoder* const> models,
                                       const SpeedOptions& options, const Exec& exec);
SpeedResult measure_speed(const Decoder& model, const SpeedOptions& options, const Exec& exec);

/// Largest memory this process has held so far, in bytes.
int64_t peak_memory_bytes();

}  // namespace nibble
