// What nibble measures of a model: plain numbers, filled by eval, read by report and by the
// command.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "nibble/eval/latency.h"

namespace nibble {

/// How the distance from a baseline goes with the position in a sequence, the true tokens before
/// it.
struct PositionDivergence {
  int64_t first = 0, last = 0;  ///< positions in the sequence, both included; 1 follows one token
  int64_t tokens = 0;           ///< predicted there, over all sequences
  double top1_agreement = 1, kl_mean = 0;
};

/// Distribution against a baseline over every predicted position; KL(base || model) in nats.
/// Standard errors are over sequences.
struct Divergence {
  double kl_mean = 0, kl_standard_error = 0, kl_median = 0, kl_p90 = 0, kl_p99 = 0, kl_p999 = 0,
         kl_max = 0;
  double top1_agreement = 1;  ///< share of positions where both rank the same token first, 0..1
  double top1_standard_error = 0;
  /// Root of the mean square of p_model - p_base, the probabilities of the token that comes next.
  double rms_delta_p = 0, rms_delta_p_standard_error = 0;
  std::vector<PositionDivergence> by_position =
      {};  ///< at most 32 stretches of positions, in order
};

/// Reading and writing timed apart, by the medians of several runs.
struct Throughput {
  int64_t prefill_tokens = 0, decode_tokens = 0;  ///< a run; 0 where nothing was timed
  Latency prefill, decode;            ///< seconds of a run's whole prompt, of its new tokens
  Latency base_prefill, base_decode;  ///< of the baseline in the same rounds
  double prefill_tokens_per_second = 0, decode_tokens_per_second = 0;
  /// In products with weights: of a prompt (the last position's logits), of a decoded token.
  int64_t prefill_multiplications = 0, decode_multiplications = 0;
};

/// What a model writes greedily beside its baseline.
struct TextComparison {
  std::string text;               ///< behind the prompt
  int64_t tokens = 0;             ///< of it, before one that ends it; 0 where nothing was written
  int64_t first_difference = -1;  ///< the token where it parts from the baseline's; -1 nowhere,
                                  ///< `tokens` where it ends and that goes on
  int64_t continuations = 0;      ///< texts behind beginnings of the measured text
  /// Element k: the share of them whose first k + 1 tokens are the baseline's.
  std::vector<double> prefix_agreement;
};

struct Measurement {
  std::string name;    ///< of the row: "f32", "int8", "int8 (embeddings kept)"
  std::string scheme;  ///< canonical spelling
  std::string folder;  ///< where the model lies, relative to the output
  int64_t parameters = 0;
  int64_t file_bytes = 0;    ///< all tensor files
  int64_t memory_bytes = 0;  ///< what the loaded model holds
  int64_t weight_bytes = 0;  ///< read for each decoded token
  double bits_per_weight = 0;

  double loss = 0;            ///< mean negative log-likelihood a token, nats
  double standard_error = 0;  ///< of loss, over sequences
  double perplexity = 0;
  int64_t tokens = 0;                         ///< predicted positions
  Divergence divergence;                      ///< against the first model
  double loss_difference = 0;                 ///< loss - baseline's loss
  double loss_difference_standard_error = 0;  ///< paired, over sequences

  Latency latency;               ///< of generating one sample
  Latency base_latency;          ///< the baseline's in the same rounds; of the baseline itself none
  Latency dequantized_latency;   ///< in the same rounds with weights dequantized on the fly, if any
  double tokens_per_second = 0;  ///< new tokens over the median latency
  double dequantized_tokens_per_second = 0;
  /// Of the time of its threads while it was timed: ready to run, but without a processor.
  double waited_share = 0;
  std::string kernel;  ///< "gemm_i8_avx512vnni"
  std::vector<std::string> samples;
  Throughput throughput;  ///< where it was asked for
  TextComparison text;
};

/// Accuracy of a classifier (the MLP) and how it differs from its baseline.
struct ClassifierMeasurement {
  std::string name, scheme;
  int64_t parameters = 0, file_bytes = 0, memory_bytes = 0;
  double compression_ratio = 1;  ///< baseline's file bytes / this one's
  double accuracy = 0;           ///< 0..1; negative where there are no labels
  double prediction_agreement = 1;
  double output_mse = 0;
  Latency latency;       ///< of one batch
  Latency base_latency;  ///< the baseline's in the same rounds; of the baseline itself none
  double waited_share = 0;
};

}  // namespace nibble
