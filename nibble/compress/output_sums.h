// The sums of g g^T over the gradients of every projection of one block.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "nibble/model/config.h"
#include "nibble/quant/output_metric.h"

namespace nibble {

/// The ends of pieces of n outputs, 0 first: at most `largest` (but at least one `unit`) and of
/// equal size rounded up to `unit`.
std::vector<int64_t> equal_pieces(int64_t n, int64_t unit, int64_t largest);

class OutputSums {
 public:
  /// The gradients of one sample, cut as the metrics are: [piece][row, outputs of the piece].
  using Rows = std::vector<std::vector<float>>;

  /// For a block of this config.
  OutputSums(const DecoderConfig& config, int64_t largest_block);

  /// Makes room for the gradients of so many rows; what it held is worthless then.
  void resize(Rows& rows, int64_t count) const;
  /// Floats of one row.
  int64_t width() const;
  /// Puts the gradient [rows, n] of a projection's outputs at rows [first, first + rows) of `to`.
  void put(Role role, const float* gradient, int64_t first, int64_t rows, Rows& to) const;
  /// Adds samples, in this order whatever the number of threads.
  void add(std::span<const Rows> samples, int threads);
  /// The metrics of the block's matrices: the sums times `scale`. A fused matrix has the role qkv.
  std::vector<std::pair<Role, OutputMetric>> finish(double scale, int threads);

 private:
  struct Piece {
    Role role;
    int64_t n, first, size;  // outputs [first, first + size) of the role's n
    std::vector<float> sum;  // [size, size], on and above the diagonal
  };
  void cut(Role role, int64_t n, int64_t unit, int64_t largest);

  bool fused_;
  std::vector<Piece> pieces_;
};

}  // namespace nibble
