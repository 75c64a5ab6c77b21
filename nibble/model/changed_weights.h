// The weights of another model, some of them changed as they are read. Only what describes a change
// is in memory, so a model larger than memory can be rescaled.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "nibble/format/weight_source.h"

namespace nibble {

/// Changes the values of a weight of `shape`, row-major, in place.
using WeightChange = std::function<void(const Shape& shape, std::span<float> values)>;

struct WeightChanges {
  std::map<std::string, std::vector<WeightChange>, std::less<>> changes;  ///< in this order
  /// Parameters that begin as a copy of another one: new name -> where it comes from.
  std::map<std::string, std::string, std::less<>> copies;
};

/// Changed weights become f32: a change must not be rounded away.
std::shared_ptr<const WeightSource> change_weights(std::shared_ptr<const WeightSource> base,
                                                   WeightChanges changes);

}  // namespace nibble
