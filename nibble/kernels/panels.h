// Panels: 16 weight rows side by side, so that one vector holds the same input of 16 outputs.
//
//   f32, f16, bf16:  [n/16][k][16] elements
//   8-bit codes:     [n/16][k][16] bytes
//   4-bit codes:     [n/16][k/2][16] bytes, inputs 2i in the low and 2i+1 in the high half of each
//
// The last panel is filled up with zeros. These functions are plain C++, for any processor.
#pragma once

#include "nibble/kernels/kernel.h"

namespace nibble {

constexpr int64_t kPanelRows = 16;

/// Bytes of one panel of a weight.
int64_t panel_bytes(const GemmTraits& traits);
/// Bytes of the packed weight.
int64_t panels_bytes(const GemmTraits& traits);
void pack_panels(const GemmWeight& stored, void* packed);
void unpack_panels(const GemmTraits& traits, const void* packed, void* rows, int64_t row_bytes);

}  // namespace nibble
