#include "nibble/quant/scale.h"

#include <cmath>
#include <cstring>

#include "nibble/core/float_formats.h"

namespace nibble {
namespace {

// How each type stores a scale: one row a type.
struct ScaleRow {
  DType dtype;
  float smallest;  // the smallest positive (subnormal) value
  uint32_t (*encode)(float);
  float (*decode)(uint32_t);
};

uint32_t f32_bits(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof(bits));
  return bits;
}
float bits_f32(uint32_t bits) {
  float x;
  std::memcpy(&x, &bits, sizeof(x));
  return x;
}

constexpr ScaleRow kScaleRows[] = {
    {DType::f16, 0x1p-24f, [](float x) { return uint32_t{f32_to_f16(x)}; },
     [](uint32_t b) { return f16_to_f32(static_cast<uint16_t>(b)); }},
    {DType::bf16, 0x1p-133f, [](float x) { return uint32_t{f32_to_bf16(x)}; },
     [](uint32_t b) { return bf16_to_f32(static_cast<uint16_t>(b)); }},
    {DType::f32, 0x1p-149f, f32_bits, bits_f32},
};

const ScaleRow* find(DType dtype) {
  for (const ScaleRow& r : kScaleRows) {
    if (r.dtype == dtype) return &r;
  }
  return nullptr;
}

const ScaleRow& row_of(DType dtype) {
  const ScaleRow* found = find(dtype);
  NIBBLE_CHECK(found != nullptr);
  return *found;
}

}  // namespace

bool is_scale_dtype(DType dtype) { return find(dtype) != nullptr; }

float round_scale(float scale, DType dtype) {
  const ScaleRow& r = row_of(dtype);
  const float rounded = r.decode(r.encode(scale));
  return scale > 0 && rounded == 0 ? r.smallest : rounded;
}

void put_scale(Tensor& scales, int64_t index, float value) {
  const auto bytes = static_cast<size_t>(size_of(scales.dtype()));
  const uint32_t bits = row_of(scales.dtype()).encode(value);
  std::memcpy(scales.mutable_raw() + static_cast<size_t>(index) * bytes, &bits, bytes);
}

float scale_at(const Tensor& scales, int64_t index) {
  const auto bytes = static_cast<size_t>(size_of(scales.dtype()));
  uint32_t bits = 0;
  std::memcpy(&bits, scales.raw() + static_cast<size_t>(index) * bytes, bytes);
  return row_of(scales.dtype()).decode(bits);
}

}  // namespace nibble
