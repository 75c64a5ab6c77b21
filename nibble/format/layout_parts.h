// What the layouts of quantized weights have in common: tensors that must be there as expected, and
// rows of codes with and without their padding.
#pragma once

#include <string>

#include "nibble/core/tensor_source.h"
#include "nibble/quant/quantized_tensor.h"
#include "nibble/quant/scheme.h"

namespace nibble {

/// The tensor, or Error{corrupt} naming it where it is missing or has another type or shape.
Tensor require_tensor(const TensorSource& source, const std::string& name);
Tensor require_tensor(const TensorSource& source, const std::string& name, DType dtype,
                      const Shape& shape);
/// A matrix of that type with at least one element, whose own shape is that of the weight.
Tensor require_matrix(const TensorSource& source, const std::string& name, DType dtype);
/// Scales of f16, bf16 or f32 with as many elements as `shape`, in that shape.
Tensor require_scales(const TensorSource& source, const std::string& name, const Shape& shape);

/// [n, G]; [1, 1] where one scale serves the whole weight.
Shape scales_shape(const QuantScheme& scheme, int64_t n, int64_t k);

/// Bytes that are exponents (E8M0, 2^(byte - 127)) as scales of bf16, which holds them all.
Tensor scales_of_exponents(const Tensor& bytes);

/// `q`, checked (validate()): errors name the tensor.
QuantizedTensor validated(QuantizedTensor q, const std::string& name);

/// The same bytes as another dtype, without a copy.
Tensor seen_as(const Tensor& t, DType dtype, Shape shape);
/// Signed bytes as the unsigned codes that they stand for, u8, and the reverse (seen as u8).
Tensor with_signs_flipped(const Tensor& bytes);
/// Bytes [n, from] as [n, to]: rows cut, or filled up with zeros.
Tensor with_row_bytes(const Tensor& rows, int64_t to);

}  // namespace nibble
