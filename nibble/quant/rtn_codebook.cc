#include "nibble/quant/rtn_codebook.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "nibble/core/checked.h"
#include "nibble/core/error.h"
#include "nibble/core/finite.h"
#include "nibble/core/float_formats.h"
#include "nibble/quant/codebook.h"
#include "nibble/quant/nested_scales.h"
#include "nibble/quant/scale.h"

namespace nibble {
namespace {

constexpr float kE4m3Largest = 448, kE4m3Smallest = 0x1p-9f, kE2m1Largest = 6;

float largest_value(NumberType type) {
  float m = 0;
  for (const float v : codebook(type)) {
    if (std::isfinite(v)) m = std::max(m, v);
  }
  return m;
}

// The largest magnitude of every group, f32 in the shape of the scales.
Tensor group_magnitudes(const Tensor& w, const QuantScheme& scheme) {
  const int64_t n = w.shape()[0], k = w.shape()[1], group = scheme.group_size(k);
  const auto x = w.data<float>();
  if (scheme.granularity == Granularity::tensor) {
    const float all[] = {largest_magnitude(x)};
    return Tensor::from<float>(Shape{1, 1}, all);
  }
  Tensor out(DType::f32, Shape{n, ceil_div(k, group)});
  auto to = out.mutable_data<float>().begin();
  for (int64_t r = 0; r < n; ++r) {
    const auto row = x.subspan(static_cast<size_t>(r * k), static_cast<size_t>(k));
    for (int64_t begin = 0; begin < k; begin += group) {
      *to++ = largest_magnitude(
          row.subspan(static_cast<size_t>(begin), static_cast<size_t>(std::min(group, k - begin))));
    }
  }
  return out;
}

// The scale of a group for fp8. Types with few bits near their smallest value may round it down so
// far that the largest weight would be cut: then the next one up is taken.
float fp8_scale(float magnitude, float top, DType dtype) {
  const float scale = round_scale(magnitude / top, dtype);
  const float slack = top * (1 + 0x1p-5f);  // half a step of E4M3 above its largest value
  if (scale == 0 || !std::isfinite(scale) || magnitude / scale <= slack) return scale;
  float up = scale;
  for (float next = scale; up == scale; up = round_scale(next, dtype))
    next = next * (1 + 0x1p-9f) + std::numeric_limits<float>::denorm_min();
  return up;
}

void choose_fp8(const Tensor& magnitudes, DType dtype, QuantizedTensor& out) {
  const float top = largest_value(out.scheme.type);
  out.scales = Tensor(dtype, magnitudes.shape());
  const auto m = magnitudes.data<float>();
  for (size_t i = 0; i < m.size(); ++i)
    put_scale(out.scales, static_cast<int64_t>(i), fp8_scale(m[i], top, dtype));
}

void choose_nested(const Tensor& magnitudes, DType dtype, QuantizedTensor& out) {
  out.scales = magnitudes;
  if (dtype == DType::f32) return;
  NestedScales nested = quantize_scales(magnitudes);
  out.scales = std::move(nested.codes);
  out.super_scales = std::move(nested.scales);
  out.super_offsets = std::move(nested.offsets);
}

void choose_mxfp4(const Tensor& magnitudes, QuantizedTensor& out) {
  out.scales = Tensor(DType::u8, magnitudes.shape());
  const auto m = magnitudes.data<float>();
  std::transform(m.begin(), m.end(), out.scales.mutable_data<uint8_t>().begin(), e8m0_of_block);
}

void choose_nvfp4(const Tensor& magnitudes, float joint, QuantizedTensor& out) {
  const auto m = magnitudes.data<float>();
  const float largest = std::max(largest_magnitude(m), joint);
  const float most = std::numeric_limits<float>::max();
  const float global = largest == 0 ? 1 : std::min(kE4m3Largest * kE2m1Largest / largest, most);
  out.super_scales = Tensor::from<float>(Shape{1}, std::span(&global, 1));
  out.scales = Tensor(DType::f8_e4m3, magnitudes.shape());
  for (size_t i = 0; i < m.size(); ++i) {
    const float scale = m[i] / kE2m1Largest * global;
    const uint8_t code = f32_to_e4m3(m[i] > 0 ? std::max(scale, kE4m3Smallest) : 0);
    out.scales.mutable_raw()[i] = static_cast<std::byte>(code);
  }
}

void choose_scales(const Tensor& w, const RtnOptions& options, QuantizedTensor& out) {
  const Tensor magnitudes = group_magnitudes(w, out.scheme);
  const DType dtype = stored_scale_dtype(out.scheme, options.scale_dtype);
  switch (out.scheme.type) {
    case NumberType::mxfp4:
      return choose_mxfp4(magnitudes, out);
    case NumberType::nvfp4:
      return choose_nvfp4(magnitudes, options.joint_magnitude, out);
    case NumberType::nf4:
    case NumberType::fp4:
      return choose_nested(magnitudes, dtype, out);
    default:
      return choose_fp8(magnitudes, dtype, out);
  }
}

void check_scales(const QuantizedTensor& q, std::string_view name) {
  const float top = largest_value(q.scheme.type);
  for (int64_t i = 0; i < q.scales.elements(); ++i) {
    if (std::isfinite(q.scale(i) * top)) continue;
    throw corrupt(fmt::format("the scale of row {} group {} does not fit {}: weights are too large"
                              " for {} (store scales as bf16 or f32, or keep this tensor)",
                              i / q.scales.shape()[1], i % q.scales.shape()[1],
                              to_string(q.scales.dtype()), to_string(q.scheme)))
        .at("tensor " + in_quotes(name));
  }
}

// The codes of one row.
void encode_row(std::span<const float> x, int64_t row, const QuantizedTensor& q,
                std::span<float> scaled, std::span<uint8_t> codes) {
  const auto group = static_cast<size_t>(q.scheme.group_size(q.k()));
  const bool one_scale = q.scheme.granularity == Granularity::tensor;
  int64_t at = one_scale ? 0 : row * q.scales.shape()[1];
  for (size_t begin = 0; begin < x.size(); begin += group, ++at) {
    const float scale = q.scale(at);
    const size_t end = std::min(begin + group, x.size());
    for (size_t i = begin; i < end; ++i) scaled[i] = scale == 0 ? 0 : x[i] / scale;
  }
  nearest_codes(q.scheme.type, scaled, codes);
}

}  // namespace

QuantizedTensor quantize_rtn_codebook(const Tensor& w, const QuantScheme& scheme,
                                      const RtnOptions& options, std::string_view name) {
  QuantizedTensor out;
  out.scheme = scheme;
  out.shape = w.shape();
  choose_scales(w, options, out);
  check_scales(out, name);
  const auto k = static_cast<size_t>(out.k());
  const int64_t row_bytes = packed_row_bytes(out.k(), scheme.bits());
  out.codes = Tensor(DType::u8, Shape{out.n(), row_bytes});
  const auto to = out.codes.mutable_data<uint8_t>();
  std::vector<float> scaled(k);
  std::vector<uint8_t> codes(k);
  for (int64_t r = 0; r < out.n(); ++r) {
    encode_row(w.data<float>().subspan(static_cast<size_t>(r) * k, k), r, out, scaled, codes);
    pack_codes(codes, scheme.bits(),
               to.subspan(static_cast<size_t>(r * row_bytes), static_cast<size_t>(row_bytes)));
  }
  return out;
}

}  // namespace nibble
