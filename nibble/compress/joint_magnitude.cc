#include "nibble/compress/joint_magnitude.h"

#include <algorithm>
#include <vector>

#include "nibble/core/finite.h"
#include "nibble/model/layer_plan.h"

namespace nibble {
float joint_magnitude(const Model& model, const ParamSpec& spec) {
  if (spec.layer < 0 || !std::holds_alternative<DecoderConfig>(model.config)) return 0;
  const std::vector<ParamSpec> table = parameter_table(model.config);
  for (const Site& site : layer_plan(model.decoder_config(), spec.layer).sites) {
    if (site.members.size() < 2) continue;
    const auto group = weights_of(table, site, spec.layer, spec.expert);
    const bool mine = std::any_of(group.begin(), group.end(),
                                  [&](const ParamSpec& p) { return p.role == spec.role; });
    if (!mine) continue;
    float largest = 0;
    for (const ParamSpec& p : group)
      largest =
          std::max(largest, largest_magnitude(model.weights->get(p.name).floats().data<float>()));
    return largest;
  }
  return 0;
}

}  // namespace nibble
