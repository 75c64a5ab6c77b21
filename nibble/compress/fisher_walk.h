// The Fisher information of every projection's outputs, by the model's own gradients: what tells
// rounding which errors the whole model minds (Tseng, Sun and De Sa 2025, "Model-Preserving
// Adaptive Rounding"; labels drawn from the model: Kunstner et al. 2019).
#pragma once

#include <functional>
#include <map>
#include <string>

#include "nibble/compress/calibration_text.h"
#include "nibble/quant/calibration.h"
#include "nibble/quant/output_metric.h"

namespace nibble {

struct FisherOptions {
  static constexpr int64_t kLargestBlock = 1024;
  int64_t tokens = 16384;  ///< samples from the front of the text, up to about so many tokens
  /// Labels drawn for every position; 0: two, or more where the text is short.
  int draws = 0;
  uint64_t seed = 42;                     ///< of the labels
  int64_t largest_block = kLargestBlock;  ///< of the metrics, in outputs
  int64_t bf16_width = 1024;              ///< as QuantizeOptions has it, whatever the schemes
  std::string spill_folder = {};          ///< for residual streams, as QuantizeOptions has it
  bool streams = false;                   ///< the metric of the stream behind each layer, too
};

/// How many labels will be drawn on a text of so many tokens.
int draws_for(const FisherOptions& options, int64_t tokens);

/// By stored name; a fused matrix of queries, keys and values has one.
using OutputMetrics = std::map<std::string, OutputMetric, std::less<>>;

/// The name of the stream behind a layer, among them: no weight is called so.
std::string stream_name(int layer);

/// Whether the token table's rows have a metric: not where it is the head as well, or where a norm
/// stands behind it.
inline bool judges_table(const DecoderConfig& config) {
  return !config.tied && !config.embedding_norm;
}

/// The metric of a table's rows in the place of its inputs' second moments: an error e of a row
/// goes into the stream as a projection's does, and costs e G e^T. For gptq.
InputStatistics judging(const OutputMetric& metric);

/// The metric of every matrix inside the blocks, and of the token table's rows: g is the gradient
/// of the sum of a sample's losses, a label drawn for each of its rows. One block's weights (in f32
/// twice, or in bf16 once) are in memory at a time, beside the head, the residual streams in front
/// of all blocks (unless they are spilled) and the metrics. The bytes do not depend on the number
/// of threads.
OutputMetrics output_metrics(const Model& model, const CalibrationText& text,
                             const FisherOptions& options, const Exec& exec);

}  // namespace nibble
