// The statistics of what one group of weights reads: the members of a site, or of one expert there.
#pragma once

#include <vector>

#include "nibble/compress/sample_stream.h"
#include "nibble/quant/calibration.h"

namespace nibble {

/// A group of weights of a layer.
struct GroupPlace {
  int layer;  ///< -1: behind the last one
  size_t index;
  const LayerPlan& plan;
  int expert = -1;  ///< -1: the site has no experts

  const Site& site() const { return plan.sites[index]; }
  ParamKey key(const SiteMember& m) const { return {m.role, layer, expert}; }
};

/// f(place) for each group of a site.
template <class F>
void for_each_group(int layer, const LayerPlan& plan, size_t site, F f) {
  for (int e = 0; e < plan.copies(plan.sites[site]); ++e)
    f(GroupPlace{layer, site, plan, plan.sites[site].experts ? e : -1});
}

/// Whether the group's outputs are added to the residual stream as they are, so that they can make
/// up for what is wrong with it.
bool corrects_stream(const GroupPlace& place);

struct StatisticsSource {
  size_t samples;  ///< the first ones
  SampleStream& rows;
  /// The original model's stream, which `rows` is to be compared with, or nullptr. It is a site
  /// ahead in that the site's products have been added to it.
  SampleStream* original = nullptr;
  std::vector<float> bias = {};  ///< of the group's first weight, where corrects_stream()
};
/// With sums against the original model where there is one: against what the group read there, or
/// against the outputs (but for their bias) that make this stream the original's.
InputStatistics site_statistics(const GroupPlace& place, const StatisticsSource& source,
                                bool hessian, const Exec& exec);

}  // namespace nibble
