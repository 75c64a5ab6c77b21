// The scales of a weight that is fake-quantized: stored as its scheme stores them.
#pragma once

#include <span>
#include <vector>

#include "nibble/quant/quantized_tensor.h"

namespace nibble {

/// Sets the scales of `to` as stored next to `wanted`, one for each group. A value that its type
/// cannot hold becomes the largest that it can.
void choose_scales(std::span<const float> wanted, DType scale_dtype, QuantizedTensor& to);

/// All that scales and offsets are stored as, each number exactly as f32: what a checkpoint keeps
/// of types whose scales are not learnt.
std::vector<float> scales_as_numbers(const QuantizedTensor& q);
/// How many these are, by scheme and shape alone.
int64_t count_numbers(const QuantizedTensor& q);
/// The way back, into a bundle of the same scheme and shape.
void numbers_as_scales(std::span<const float> numbers, DType scale_dtype, QuantizedTensor& to);

}  // namespace nibble
