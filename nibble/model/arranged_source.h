// Tensors as the parameter table has them, whatever their layout on disk.
#pragma once

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

/// A source whose `transposed` tensors are given, and listed, with rows and columns exchanged. Such
/// a tensor is made anew at each get(): one is in memory at a time; all others stay mapped.
std::unique_ptr<TensorSource> arrange(std::unique_ptr<TensorSource> stored,
                                      std::set<std::string, std::less<>> transposed);

}  // namespace nibble
