// MlpConfig: a stack of Linear layers with ReLU between them, and the table of its parameters.
#pragma once

#include <cstdint>
#include <vector>

#include "nibble/model/config.h"

namespace nibble {

struct MlpConfig {
  std::vector<int64_t> sizes;  ///< widths, inputs first: {784, 512, 512, 10}
  bool operator==(const MlpConfig&) const = default;
};

/// fc1.weight [sizes[1], sizes[0]], fc1.bias [sizes[1]], fc2.weight, ...: weight and bias in turn.
std::vector<ParamSpec> parameter_table(const MlpConfig& config);

}  // namespace nibble
