// ChangedSource: the tensors of another source, some of them changed as they are read. Only what
// describes a change is in memory, so a model larger than memory can be rescaled.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "nibble/core/tensor_source.h"

namespace nibble {

/// Changes the values of a tensor of `shape`, row-major, in place.
using TensorChange = std::function<void(const Shape& shape, std::span<float> values)>;

struct TensorChanges {
  std::map<std::string, std::vector<TensorChange>, std::less<>> changes;  ///< in this order
  /// Tensors that begin as a copy of another one: new name -> where it comes from.
  std::map<std::string, std::string, std::less<>> copies;
};

/// Changed tensors are listed as, and become, f32: a change must not be rounded away.
/// Error{not_found} for a change of a tensor that is not there.
std::unique_ptr<TensorSource> change_tensors(std::shared_ptr<const TensorSource> base,
                                             TensorChanges changes);

}  // namespace nibble
