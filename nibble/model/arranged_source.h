// Tensors as the parameter table has them, whatever their layout on disk.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>

#include "nibble/core/tensor_source.h"
#include "nibble/model/config.h"

namespace nibble {

/// The shape of a parameter in plain files.
Shape stored_shape(const ParamSpec& spec);

/// A matrix [n, k] as [k, n], in memory of its own.
Tensor transpose(const Tensor& matrix);

/// A tensor as f32, each element more by `by`.
Tensor shifted(const Tensor& tensor, float by);

struct Arrangement {
  std::set<std::string, std::less<>> transposed;      ///< rows and columns exchanged
  std::map<std::string, float, std::less<>> offsets;  ///< ParamSpec::offset: what is added
  std::set<std::string, std::less<>> as_f32;          ///< of a float type that nothing multiplies
};

/// A source whose tensors are given, and listed, as the arrangement says; those with an offset are
/// listed as stored and given as f32. Error{corrupt} where a number is too large for f32. Such a
/// tensor is made anew at each get(): one is in memory at
/// a time; all others stay mapped.
std::unique_ptr<TensorSource> arrange(std::unique_ptr<TensorSource> stored,
                                      Arrangement arrangement);

}  // namespace nibble
