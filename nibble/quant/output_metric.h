// OutputMetric: how much the whole model minds an error of a weight's outputs.
#pragma once

#include <cstdint>
#include <vector>

namespace nibble {

/// G = mean of g g^T over rows, g [n] the gradient of a row's negative log-likelihood (nats, of a
/// label drawn from the model itself) by the weight's outputs: its Fisher information. An error e
/// of the outputs costs about e G e^T / 2 of KL a row. Kept in blocks along the diagonal, since
/// [n, n] is too large for wide weights; between blocks it is taken as 0.
struct OutputMetric {
  std::vector<int64_t> starts = {0};       ///< block b is the outputs [starts[b], starts[b + 1])
  std::vector<std::vector<float>> blocks;  ///< symmetric, [size, size] each
  int64_t n() const { return starts.back(); }
};

}  // namespace nibble
