// Fold sites: the places of a decoder where channels can be rescaled without changing its function.
//
// Dividing what makes channel i by s and multiplying the columns i of everything that reads it by s
// changes no output. Makers are found by following a site's input back through the layer's plan:
// the gain and bias of a norm, the rows of v behind an attention (it mixes positions, not
// channels), the rows of C behind a gated convolution, and the rows of up (a gate or ReLU commutes
// with positive scales). AWQ and SmoothQuant choose s.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "nibble/model/config.h"

namespace nibble {

enum class Producer {
  none,  ///< nothing takes a scale up: the site is skipped, `refusal` says why
  norm,  ///< elements of a gain (and bias)
  rows,  ///< rows of a Linear's weight (and elements of its bias)
};

struct FoldSite {
  ParamKey key;  ///< of the first consumer
  Producer producer = Producer::none;
  std::string refusal;       ///< why there is no producer, for people
  std::string weight, bias;  ///< stored names of the producer's; bias may be empty
  int64_t first_row = 0;     ///< of the producer, where its channels begin
  /// So many of its rows stand together, the next ones `step` rows behind where those began; 0: all
  /// of them do.
  int64_t piece = 0, step = 0;
  /// Inputs come in blocks of `block` channels, `repeat` blocks behind each other made by the same
  /// rows (query heads that share a key/value head).
  int64_t block = 1, repeat = 1;
  int64_t k = 0;                       ///< channels the consumers read
  std::vector<std::string> consumers;  ///< stored names of the weights [n, k]

  /// Channels that can be scaled apart: k / repeat.
  int64_t channels() const { return k / repeat; }
  /// The channel of the producer (0 .. channels() - 1) that makes input i.
  int64_t channel_of(int64_t i) const { return i / (block * repeat) * block + i % block; }
  /// The producer's row of a channel.
  int64_t row_of(int64_t channel) const {
    return first_row + (piece > 0 ? channel / piece * step + channel % piece : channel);
  }
};

/// All sites in the order in which they run, those without a producer included.
std::vector<FoldSite> fold_sites(const DecoderConfig& config);

/// Scales of inputs [k] made such that inputs of one channel have one scale: the geometric mean.
/// All must be positive.
void tie_scales(const FoldSite& site, std::span<float> scales);

}  // namespace nibble
