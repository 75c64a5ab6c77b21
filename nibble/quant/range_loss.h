// What a narrow type has cost for its range, not for its bits: weights so small that the scale they
// are stored with, or the plain type they are stored in, has no digits left for them.
#pragma once

#include <functional>
#include <string>

#include "nibble/quant/quantized_tensor.h"

namespace nibble {

/// Gives the weight before it was stored; only asked where something looks lost.
using OriginalWeight = std::function<Tensor()>;

/// How many groups of weights are lost so and the way out, for people; "" where none is.
std::string range_loss(const QuantizedTensor& q, const OriginalWeight& original);

/// The same for the rows of a plain tensor; "" also where it has the type that it had before.
std::string range_loss(const Tensor& stored, const OriginalWeight& original);

}  // namespace nibble
