// Elements of a stored weight, one at a time: the obvious way, for the reference kernels.
#pragma once

#include <cstdint>

#include "nibble/core/float_formats.h"
#include "nibble/kernels/kernel.h"

namespace nibble::ref {

inline int code_at(const GemmWeight& w, int64_t row, int64_t column) {
  const uint8_t* bytes = static_cast<const uint8_t*>(w.data) + row * w.row_bytes;
  const int64_t bit = column * w.traits.bits;
  const int64_t byte = bit / 8;
  const int shift = static_cast<int>(bit % 8);
  int window = bytes[byte];
  if (shift + w.traits.bits > 8) window |= bytes[byte + 1] << 8;
  return (window >> shift) & ((1 << w.traits.bits) - 1);
}

/// One of `scales`, which are w's or its offsets; `supers` are theirs.
inline float scale_of(const GemmWeight& w, const void* scales, const float* supers, int64_t row,
                      int64_t group) {
  const int64_t i = row * w.scale_stride + group;
  if (w.scale_type == ScaleType::f16) return f16_to_f32(static_cast<const uint16_t*>(scales)[i]);
  if (w.scale_type == ScaleType::bf16) return bf16_to_f32(static_cast<const uint16_t*>(scales)[i]);
  if (w.scale_type == ScaleType::blocks) {
    const int64_t block = group * w.traits.group / kSuperBlock;
    return static_cast<float>(static_cast<const int8_t*>(scales)[i]) *
           supers[row * w.super_stride + block];
  }
  return static_cast<const float*>(scales)[i];
}

inline float scale_at(const GemmWeight& w, int64_t row, int64_t group) {
  return scale_of(w, w.scales, w.block_scales, row, group);
}

/// Of a weight that has offsets.
inline float offset_at(const GemmWeight& w, int64_t row, int64_t group) {
  return scale_of(w, w.offsets, w.block_offsets, row, group);
}

inline int zero_at(const GemmWeight& w, int64_t row, int64_t group) {
  if (w.offsets != nullptr) return 0;
  if (w.zeros == nullptr) return 1 << (w.traits.bits - 1);
  return w.zeros[row * w.scale_stride + group];
}

/// A plain weight as f32.
inline float value_at(const GemmWeight& w, int64_t row, int64_t column) {
  const auto* bytes = static_cast<const uint8_t*>(w.data) + row * w.row_bytes;
  if (w.traits.weight == WeightType::f16)
    return f16_to_f32(reinterpret_cast<const uint16_t*>(bytes)[column]);
  if (w.traits.weight == WeightType::bf16)
    return bf16_to_f32(reinterpret_cast<const uint16_t*>(bytes)[column]);
  return reinterpret_cast<const float*>(bytes)[column];
}

inline void finish(const GemmOutput& out, int64_t row, int64_t j, float t) {
  const int64_t at = row * out.y_stride + j;
  if (out.bias != nullptr) t += out.bias[j];
  if (out.residual != nullptr) t += out.residual[at];
  out.y[at] = t;
}

}  // namespace nibble::ref
