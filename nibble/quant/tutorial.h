// The quantizers as tutorials write them, for examples, for comparison and as a check against
// PyTorch: any axis of an n-d tensor, scales in f32, codes as plain integers. The product's own
// form is quantize_rtn (rtn.h), which differs in three points: there the asymmetric range is
// extended to hold 0, scales are rounded to their stored type first, and a zero scale is stored
// as 0.
//
//   symmetric:   scale = max|x| / (2^(b-1) - 1),  q = clamp(round(x / scale), -2^(b-1), 2^(b-1) -
//   1) asymmetric:  scale = (max - min) / (2^b - 1), z = clamp(round(-min / scale), 0, 2^b - 1),
//                q = clamp(round(x / scale) + z, 0, 2^b - 1)
//
// Everything in f32, halves rounded to even, a scale of 0 replaced by 1. Bits from 2 to 8.
#pragma once

#include <cstdint>
#include <vector>

#include "nibble/core/tensor.h"

namespace nibble::tutorial {

/// Codes with the scales that give them meaning. Element i (row-major) belongs to scale
/// (i / inner) % extent.
struct Quantized {
  Shape shape;
  int bits = 8;
  std::vector<int32_t> codes;
  std::vector<float> scales;
  std::vector<int32_t> zero_points;  ///< empty where symmetric
  int64_t inner = 1, extent = 1;
};

/// x is f32 of any rank. Errors: bits outside 2 to 8, an axis outside the rank, a group that does
/// not divide the last extent (Error{invalid_argument}), NaN or infinity (Error{corrupt}).
Quantized symmetric_per_tensor(const Tensor& x, int bits);
Quantized asymmetric_per_tensor(const Tensor& x, int bits);
/// One scale for each index along `axis`, shared over all the others.
Quantized symmetric_per_channel(const Tensor& x, int bits, size_t axis);
Quantized asymmetric_per_channel(const Tensor& x, int bits, size_t axis);
/// One scale for each run of `group` elements along the last axis.
Quantized symmetric_per_group(const Tensor& x, int bits, int64_t group);
Quantized asymmetric_per_group(const Tensor& x, int bits, int64_t group);

/// (code - zero point) * scale, f32.
Tensor dequantize(const Quantized& q);

}  // namespace nibble::tutorial
