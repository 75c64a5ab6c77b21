#include "nibble/train/fake_scales.h"

#include <algorithm>
#include <cmath>

#include "nibble/core/checked.h"
#include "nibble/core/error.h"
#include "nibble/core/float_formats.h"
#include "nibble/quant/grid.h"
#include "nibble/quant/number.h"
#include "nibble/quant/scale.h"

namespace nibble {
namespace {

Shape shape_of_scales(const QuantizedTensor& q) {
  if (q.scheme.granularity == Granularity::tensor) return {1, 1};
  return {q.n(), ceil_div(q.k(), q.scheme.group_size(q.k()))};
}

// The parts of a block type, in the order in which they are kept.
std::vector<Tensor*> stored_parts(QuantizedTensor& q) {
  std::vector<Tensor*> out = {&q.scales};
  for (std::optional<Tensor>* part : {&q.offsets, &q.super_scales, &q.super_offsets})
    if (*part) out.push_back(&**part);
  return out;
}

float largest_of(DType dtype) { return dtype == DType::f16 ? 65504.0f : 3e38f; }

}  // namespace

void choose_scales(std::span<const float> wanted, DType scale_dtype, QuantizedTensor& to) {
  const NumberTraits& type = number(to.scheme);
  const DType stored = stored_scale_dtype(to.scheme, scale_dtype);
  if (type.table == nullptr) {
    const float most = largest_of(stored);
    to.scales = Tensor(stored, shape_of_scales(to));
    for (size_t i = 0; i < wanted.size(); ++i)
      put_scale(to.scales, static_cast<int64_t>(i),
                round_signed_scale(std::clamp(wanted[i], -most, most), stored));
    return;
  }
  // Types with a table choose scales by the largest magnitude that they are to hold.
  Tensor magnitudes(DType::f32, shape_of_scales(to));
  const float top = largest_value(type);
  std::transform(wanted.begin(), wanted.end(), magnitudes.mutable_data<float>().begin(),
                 [&](float s) { return std::min(std::fabs(s), 65504.0f) * top; });
  RtnOptions options;
  options.scale_dtype = scale_dtype;
  type.choose_scales(magnitudes, options, to);
}

std::vector<float> scales_as_numbers(const QuantizedTensor& q) {
  std::vector<float> out;
  QuantizedTensor copy = q;
  for (const Tensor* part : stored_parts(copy)) {
    for (int64_t i = 0; i < part->elements(); ++i)
      out.push_back(part->dtype() == DType::i8
                        ? static_cast<float>(part->data<int8_t>()[static_cast<size_t>(i)])
                        : scale_at(*part, i));
  }
  return out;
}

int64_t count_numbers(const QuantizedTensor& q) {
  const NumberTraits& type = number(q.scheme);
  const int64_t each = type.offsets ? 2 : 1, scales = shape_of_scales(q).elements();
  if (type.scales->super != SuperScale::inputs) return each * scales;
  return each * (scales + q.n() * ceil_div(q.k(), kSuperBlock));
}

void numbers_as_scales(std::span<const float> numbers, DType scale_dtype, QuantizedTensor& to) {
  const NumberTraits& type = number(to.scheme);
  const Shape scales = shape_of_scales(to), blocks{to.n(), ceil_div(to.k(), kSuperBlock)};
  const DType stored = stored_scale_dtype(to.scheme, scale_dtype);
  const bool two_levels = type.scales->super == SuperScale::inputs;
  to.scales = Tensor(stored, scales);
  if (type.offsets) to.offsets = Tensor(stored, scales);
  if (two_levels) to.super_scales = Tensor(DType::f32, blocks);
  if (two_levels && type.offsets) to.super_offsets = Tensor(DType::f32, blocks);
  size_t at = 0;
  for (Tensor* part : stored_parts(to)) {
    NIBBLE_CHECK(at + static_cast<size_t>(part->elements()) <= numbers.size());
    for (int64_t i = 0; i < part->elements(); ++i, ++at) {
      if (part->dtype() == DType::i8)
        part->mutable_data<int8_t>()[static_cast<size_t>(i)] = static_cast<int8_t>(numbers[at]);
      else
        put_scale(*part, i, numbers[at]);
    }
  }
}

}  // namespace nibble
