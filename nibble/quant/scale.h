// Scales as they are stored: rounded to f16, bf16 or f32 before any code is computed from them.
#pragma once

#include "nibble/core/tensor.h"
#include "nibble/quant/scheme.h"

namespace nibble {

/// True for the types a scale may be stored in: f16, bf16, f32.
bool is_scale_dtype(DType dtype);

/// `scale` >= 0 rounded to `dtype`. A positive scale that would become 0 becomes the smallest
/// positive value of the type instead, so that the codes stay finite and the error of a weight
/// stays at most its own size. Returns infinity where the scale does not fit: the caller refuses.
float round_scale(float scale, DType dtype);

/// Writes a value that round_scale() returned.
void put_scale(Tensor& scales, int64_t index, float value);
float scale_at(const Tensor& scales, int64_t index);

}  // namespace nibble
