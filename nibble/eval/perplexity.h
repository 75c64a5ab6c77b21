// Loss, perplexity and distance from a baseline over token sequences. Sequences are independent:
// each starts with an empty cache. They are spread over threads; sums run in sequence order, so the
// result is the same for any number of threads.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "nibble/core/exec.h"
#include "nibble/eval/measurement.h"
#include "nibble/eval/protocol.h"
#include "nibble/model/decoder.h"

namespace nibble {

/// Gives logits [ids.size(), vocabulary] for one sequence, from an empty cache.
using SequenceLogits =
    std::function<std::vector<float>(std::span<const int32_t> ids, const Exec& exec)>;
/// Those of a decoder whose KV cache is of type `kv`.
SequenceLogits logits_of(const Decoder& model, DType kv = DType::f32);

struct LossResult {
  double loss = 0;            ///< mean negative log-likelihood a token, nats
  double standard_error = 0;  ///< over sequences, each weighted by its tokens
  double perplexity = 0;      ///< exp(loss)
  int64_t tokens = 0;
  std::vector<double> sequence_nll;      ///< summed over the tokens of each sequence
  std::vector<int64_t> sequence_tokens;  ///< predicted tokens of each sequence
};

struct ComparisonResult {
  LossResult model, base;
  Divergence divergence;
  double loss_difference = 0;                 ///< model - base
  double loss_difference_standard_error = 0;  ///< paired
};

/// Error{corrupt} where nothing is predicted, so that it is known before any model runs.
void require_predictions(const std::vector<ScoredSequence>& sequences);

/// Error{corrupt} where nothing is predicted or a loss is not finite.
LossResult measure_loss(const SequenceLogits& model, const std::vector<ScoredSequence>& sequences,
                        const Exec& exec, std::string_view task);

/// r. Error{corrupt} where the loss is so large that its perplexity is not a finite number.
const LossResult& require_perplexity(const LossResult& r);

/// The same for both models at once, and how far the model's distributions are from the base's at
/// every position.
ComparisonResult compare_models(const SequenceLogits& model, const SequenceLogits& base,
                                const std::vector<ScoredSequence>& sequences, const Exec& exec,
                                std::string_view task);

}  // namespace nibble
