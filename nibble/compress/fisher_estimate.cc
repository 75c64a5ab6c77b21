#include "nibble/compress/fisher_estimate.h"

#include <algorithm>

#include "nibble/compress/fisher_walk.h"
#include "nibble/core/checked.h"
#include "nibble/model/layer_plan.h"
#include "nibble/train/head_gradient.h"

namespace nibble {

FisherEstimate estimate_fisher(const DecoderConfig& config, int64_t tokens, int64_t length,
                               int threads) {
  const FisherOptions options;
  const int64_t rows = ceil_div(std::min(tokens, options.tokens), length) * length;
  const int64_t draws = draws_for(options, rows), layers = config.layers;
  FisherEstimate out;
  // Of the largest layer, all its weights and the outputs of one row; of all layers, the
  // multiplications of one row.
  int64_t block = 0, outputs = 0;
  double multiplications = 0;
  for (int layer = 0; layer < config.layers; ++layer) {
    const LayerPlan plan = layer_plan(config, layer);
    int64_t weights = 0, of_row = 0;
    for (const Site& site : plan.sites) {
      const int64_t each = site.experts ? plan.experts->chosen : 1, copies = plan.copies(site);
      for (const SiteMember& m : site.members) {
        const int64_t n = m.outputs, square = n * std::min(n, options.largest_block);
        weights += copies * n * site.inputs;
        of_row += each * n;
        multiplications += static_cast<double>(each * n * site.inputs);
        out.metric_bytes += copies * square * 4;
        out.products += static_cast<double>(rows * draws * each) * static_cast<double>(square) / 2;
      }
    }
    block = std::max(block, weights);
    outputs = std::max(outputs, of_row);
  }
  const int64_t head = config.vocab_size * config.hidden_size;
  // In f32, and as it is stored, which is read into memory on the way.
  const int64_t at_head = head * 8 + threads * HeadGradient<float>::work_bytes(config, length);
  out.stream_bytes = (layers + 1 + draws) * rows * config.hidden_size * 4;
  // As FisherWalk has them: as many samples as threads, or more of small ones.
  constexpr int64_t kBatch = int64_t{128} << 20;
  const int64_t gradients = draws * outputs * 4;
  const int64_t batch = std::min(rows * gradients, std::max(threads * length * gradients, kBatch));
  const int64_t activations =
      length * (12 * config.hidden_size + 6 * config.intermediate_size + config.heads * length) * 4;
  out.work_bytes = std::max(at_head, head * 4 + 2 * block * 4 + batch + threads * activations);
  // Forward twice, backward once a draw; the head forward once, backward once a draw.
  out.products +=
      static_cast<double>(rows) * (multiplications * static_cast<double>(2 + draws) +
                                   static_cast<double>(head) * static_cast<double>(1 + draws));
  return out;
}

}  // namespace nibble
