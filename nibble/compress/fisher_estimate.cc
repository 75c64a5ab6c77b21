#include "nibble/compress/fisher_estimate.h"

#include <algorithm>

#include "nibble/compress/fisher_walk.h"
#include "nibble/core/checked.h"
#include "nibble/train/head_gradient.h"

namespace nibble {

FisherEstimate estimate_fisher(const DecoderConfig& config, int64_t tokens, int64_t length,
                               int threads) {
  const FisherOptions options;
  const int64_t rows = ceil_div(std::min(tokens, options.tokens), length) * length;
  const int64_t draws = draws_for(options, rows), layers = config.layers;
  int64_t block = 0, outputs = 0;  // weights of one block and their outputs
  FisherEstimate out;
  for (const ParamSpec& p : parameter_table(config)) {
    if (p.layer != 0 || !p.is_matrix()) continue;
    const int64_t n = p.shape[0];
    block += p.shape.elements();
    outputs += n;
    out.metric_bytes += layers * n * std::min(n, options.largest_block) * 4;
    out.products += static_cast<double>(layers * rows * draws) *
                    static_cast<double>(n * std::min(n, options.largest_block)) / 2;
  }
  const int64_t head = config.vocab_size * config.hidden_size;
  // In f32, and as it is stored, which is read into memory on the way.
  const int64_t at_head = head * 8 + threads * HeadGradient::work_bytes(config, length);
  out.stream_bytes = (layers + 1 + draws) * rows * config.hidden_size * 4;
  // As FisherWalk has them: as many samples as threads, or more of small ones.
  constexpr int64_t kBatch = int64_t{128} << 20;
  const int64_t gradients = draws * outputs * 4;
  const int64_t batch = std::min(rows * gradients, std::max(threads * length * gradients, kBatch));
  const int64_t activations =
      length * (12 * config.hidden_size + 6 * config.intermediate_size + config.heads * length) * 4;
  out.work_bytes = std::max(at_head, head * 4 + 2 * block * 4 + batch + threads * activations);
  // Forward twice, backward once a draw; the head forward once, backward once a draw.
  out.products += static_cast<double>(rows) *
                  (static_cast<double>(layers * block) * static_cast<double>(2 + draws) +
                   static_cast<double>(head) * static_cast<double>(1 + draws));
  return out;
}

}  // namespace nibble
