// The sums of g g^T over the gradients of every projection of one layer.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "nibble/model/layer_plan.h"
#include "nibble/quant/output_metric.h"

namespace nibble {

/// The ends of pieces of n outputs, 0 first: at most `largest` (but at least one `unit`) and of
/// equal size rounded up to `unit`.
std::vector<int64_t> equal_pieces(int64_t n, int64_t unit, int64_t largest);

class OutputSums {
 public:
  /// The gradients of one sample, cut as the metrics are: [piece][row, outputs of the piece].
  using Rows = std::vector<std::vector<float>>;

  OutputSums(const DecoderConfig& config, int layer, int64_t largest_block);

  /// Makes it ready for a sample's gradients.
  void clear(Rows& rows) const;
  /// Floats of one row of the stream.
  int64_t width() const;
  /// Puts the gradient [rows, n] of a projection's outputs behind what `to` has of them.
  void put(const ParamKey& key, int64_t rows, const float* gradient, Rows& to) const;
  /// Adds samples, in this order whatever the number of threads.
  void add(std::span<const Rows> samples, int threads);
  /// The metrics of the layer's matrices: the sums times `scale`. Those of the parts of a fused
  /// matrix become its own, with the role qkv.
  std::vector<std::pair<ParamKey, OutputMetric>> finish(double scale, int threads);

 private:
  struct Piece {
    ParamKey key;
    int64_t n, first, size;  // outputs [first, first + size) of the weight's n
    std::vector<float> sum;  // [size, size], on and above the diagonal
  };
  void cut(const ParamKey& key, int64_t n, int64_t unit, int64_t largest);

  bool fused_;
  double expert_share_ = 1;  // of the rows, that an expert has in the mean
  std::vector<Piece> pieces_;
};

}  // namespace nibble
