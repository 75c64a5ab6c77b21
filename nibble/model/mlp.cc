#include "nibble/model/mlp.h"

#include <fmt/format.h>

namespace nibble {

std::vector<ParamSpec> parameter_table(const MlpConfig& config) {
  std::vector<ParamSpec> out;
  for (size_t i = 0; i + 1 < config.sizes.size(); ++i) {
    const int64_t k = config.sizes[i], n = config.sizes[i + 1];
    const int layer = static_cast<int>(i);
    out.push_back({{Role::up, layer}, fmt::format("fc{}.weight", i + 1), Shape{n, k}});
    out.push_back({{Role::up, layer, -1, true}, fmt::format("fc{}.bias", i + 1), Shape{n}});
  }
  return out;
}

}  // namespace nibble
