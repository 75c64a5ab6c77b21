// The scales that 16 rows have for one group, as f32 or as the bits of narrower floats. Included by
// islands; everything has internal linkage, so that no copy compiled for one instruction set serves
// another.
#pragma once

#include "nibble/kernels/kernel.h"

namespace nibble {
namespace {

/// wide[j] is the scale of row + j; for f16 and bf16 narrow[j] its bits. Rows beyond n have 0. For
/// bytes what the table has: times super[j] is still to come.
struct GatheredScales {
  alignas(64) float wide[16];
  alignas(64) float super[16];
  alignas(64) uint16_t narrow[16];
};

void gather_scales(const GemmWeight& w, int64_t row, int64_t group, GatheredScales& out) {
  const int64_t left = w.traits.n - row, count = left < 16 ? left : 16;
  const int64_t first = row * w.scale_stride + group;
  for (int64_t j = count; j < 16; ++j) {
    out.wide[j] = out.super[j] = 0;
    out.narrow[j] = 0;
  }
  if (w.scale_type == ScaleType::f32) {
    const auto* scales = static_cast<const float*>(w.scales) + first;
    for (int64_t j = 0; j < count; ++j) out.wide[j] = scales[j * w.scale_stride];
  } else if (w.scale_type == ScaleType::table) {
    const auto* scales = static_cast<const uint8_t*>(w.scales) + first;
    for (int64_t j = 0; j < count; ++j) out.wide[j] = w.scale_table[scales[j * w.scale_stride]];
    if (w.super_scales == nullptr) return;
    for (int64_t j = 0; j < count; ++j)
      out.super[j] = w.super_scales[(first + j * w.scale_stride) / kSuperBlock];
  } else {
    const auto* scales = static_cast<const uint16_t*>(w.scales) + first;
    for (int64_t j = 0; j < count; ++j) out.narrow[j] = scales[j * w.scale_stride];
  }
}

}  // namespace
}  // namespace nibble
