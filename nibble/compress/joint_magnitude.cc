#include "nibble/compress/joint_magnitude.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "nibble/core/float_formats.h"

namespace nibble {
namespace {

const std::vector<Role>& joined_with(Role role) {
  static const std::vector<Role> kAttention{Role::q, Role::k, Role::v},
      kGated{Role::gate, Role::up}, kNone;
  for (const auto* roles : {&kAttention, &kGated}) {
    if (std::find(roles->begin(), roles->end(), role) != roles->end()) return *roles;
  }
  return kNone;
}

float largest_magnitude(const Tensor& t) {
  std::vector<float> values(static_cast<size_t>(t.elements()));
  to_f32(t, values);
  float m = 0;
  for (const float v : values) m = std::max(m, std::fabs(v));
  return m;
}

}  // namespace

float joint_magnitude(const ModelFolder& model, const ParamSpec& spec) {
  const std::vector<Role>& roles = joined_with(spec.role);
  float largest = 0;
  for (const ParamSpec& other : parameter_table(model.config)) {
    if (other.layer != spec.layer || other.bias || !other.is_matrix()) continue;
    if (std::find(roles.begin(), roles.end(), other.role) == roles.end()) continue;
    largest = std::max(largest, largest_magnitude(model.tensors->get(other.name)));
  }
  return largest;
}

}  // namespace nibble
