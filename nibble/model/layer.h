// Layer: the weights of one layer, in the order of its plan.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "nibble/model/layer_plan.h"
#include "nibble/model/parameter_finder.h"

namespace nibble {

/// Where a layer's part of a cache is: among those that attend, and those with a state.
struct CachePlace {
  int64_t attention = 0, state = 0;
};

struct NormWeights {
  std::vector<float> gain, bias;  ///< empty where the norm has none
};

struct Layer {
  LayerPlan plan;
  std::vector<NormWeights> norms;                ///< as plan.norms
  std::vector<std::vector<LinearGroup>> groups;  ///< [site][expert, or 0]
  LinearGroup router;                            ///< where there are experts
  std::vector<float> router_correction;          ///< [experts], or empty
  std::vector<float> expert_scale;               ///< the same
  std::vector<float> scale;                      ///< of Op::scale: [1], or empty
  std::vector<float> row_gate;                   ///< of Op::gate_rows: [hidden_size]
  std::vector<float> sinks;                      ///< of attention: [heads], or empty
  std::vector<float> taps, taps_bias;            ///< of a convolution: [channels, taps], [channels]
  std::vector<float> decay, decay_bias;          ///< of a delta layer or Mamba2: [heads]
  std::vector<float> skip;                       ///< of Mamba2: [heads]
  CachePlace place;

  LinearGroup& group(size_t site, int64_t expert = 0) {
    return groups[site][static_cast<size_t>(expert)];
  }
  const LinearGroup& group(size_t site, int64_t expert = 0) const {
    return groups[site][static_cast<size_t>(expert)];
  }
  /// Calls f for every group, the router's included, in the order in which they run.
  void for_each_group(const std::function<void(const LinearGroup&)>& f) const;

  /// Workspace of the largest of its products with m rows of the stream.
  int64_t workspace_bytes(int64_t m, int64_t threads) const;
  /// Multiplications for one row.
  int64_t multiplications() const;
  size_t memory_bytes() const;  ///< that its weights hold
  size_t weight_bytes() const;  ///< of them, read for one token
};

/// Makes room in a cache's shape for what a layer keeps of a sequence; returns its Layer::place.
CachePlace add_layer(const LayerPlan& plan, CacheShape& shape);
/// Of all layers of a config.
CacheShape cache_shape(const DecoderConfig& config);

/// Takes all parameters of a layer from `find`.
Layer build_layer(const DecoderConfig& config, int layer, const ParameterFinder& find,
                  const LinearOptions& options);
/// The group of one site (of one expert, or -1), anew from what `find` gives now.
LinearGroup build_group(const Site& site, int layer, int expert, const ParameterFinder& find,
                        const LinearOptions& options);

}  // namespace nibble
