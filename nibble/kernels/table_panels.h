// Panels of codes that name values of a table: 16 weight rows side by side, so that one vector
// holds the codes that 16 outputs have for the same input.
//
//   4-bit codes:  [n/16][k/2][16] bytes, inputs 2i in the low and 2i+1 in the high half of each
//   8-bit codes:  [n/16][k][16] bytes
//
// The last panel is filled up with zeros. These functions are plain C++, for any processor.
#pragma once

#include "nibble/kernels/kernel.h"

namespace nibble {

constexpr int64_t kTablePanelRows = 16;

bool is_table_weight(const GemmTraits& traits);
/// Bytes of one panel of a weight, and of all its panels.
int64_t table_panel_bytes(const GemmTraits& traits);
int64_t table_panels_bytes(const GemmTraits& traits);
void pack_table_panels(const GemmWeight& stored, void* packed);
void unpack_table_panels(const GemmTraits& traits, const void* packed, void* rows,
                         int64_t row_bytes);

}  // namespace nibble
