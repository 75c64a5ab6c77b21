// Double quantization (Dettmers et al., QLoRA, 2023, section 3): the scales of nf4 and fp4 are
// themselves stored in a byte each, so that they cost 8.13 bits instead of 32.
//
//   scale[i] = map[byte[i]] * super_scale[i / 256] + super_offset
//
// The map is the signed dynamic 8-bit type of bitsandbytes, the offset the mean of the scales.
#pragma once

#include <cstdint>
#include <span>

#include "nibble/core/tensor.h"

namespace nibble {

constexpr int64_t kNestedBlock = 256;  ///< scales that share a super scale

/// The 256 values of the map, ascending.
std::span<const float> dynamic_map();

struct NestedScales {
  Tensor codes;    ///< u8, the shape of the scales
  Tensor scales;   ///< f32 [ceil(count / 256)]
  Tensor offsets;  ///< f32 [1]
};

/// Quantizes f32 scales. The nearest value of the map is taken, the lower one of two.
NestedScales quantize_scales(const Tensor& scales);

}  // namespace nibble
