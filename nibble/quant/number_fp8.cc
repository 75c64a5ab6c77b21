// fp8_e4m3 and fp8_e5m2: the 256 values of E4M3FN and E5M2 (OCP OFP8 1.0). A scale is the largest
// magnitude over the type's largest finite value, rounded to the stored type; the next one up where
// that would cut the largest weight.
#include <algorithm>
#include <cmath>
#include <limits>

#include "nibble/core/float_formats.h"
#include "nibble/quant/number.h"
#include "nibble/quant/scale.h"

namespace nibble {
namespace {

void nearest_e4m3(std::span<const float> x, std::span<uint8_t> codes) {
  std::transform(x.begin(), x.end(), codes.begin(), f32_to_e4m3);
}

void nearest_e5m2(std::span<const float> x, std::span<uint8_t> codes) {
  std::transform(x.begin(), x.end(), codes.begin(), f32_to_e5m2);
}

// Types with few bits near their smallest value may round a scale down so far that the largest
// weight would be cut: then the next one up is taken.
float fp8_scale(float magnitude, float top, DType dtype) {
  const float scale = round_scale(magnitude / top, dtype);
  const float slack = top * (1 + 0x1p-5f);  // half a step of E4M3 above its largest value
  if (scale == 0 || !std::isfinite(scale) || magnitude / scale <= slack) return scale;
  float up = scale;
  for (float next = scale; up == scale; up = round_scale(next, dtype))
    next = next * (1 + 0x1p-9f) + std::numeric_limits<float>::denorm_min();
  return up;
}

void choose_fp8_scales(const Tensor& magnitudes, const RtnOptions& options, QuantizedTensor& out) {
  const float top = largest_value(number(out.scheme));
  out.scales = Tensor(options.scale_dtype, magnitudes.shape());
  const auto m = magnitudes.data<float>();
  for (size_t i = 0; i < m.size(); ++i)
    put_scale(out.scales, static_cast<int64_t>(i), fp8_scale(m[i], top, options.scale_dtype));
}

NumberTraits fp8(std::string_view name, WeightType kernel, std::span<const float> (*table)(),
                 void (*nearest)(std::span<const float>, std::span<uint8_t>)) {
  NumberTraits out;
  out.name = name;
  out.kind = NumberKind::table;
  out.bits = 8;
  out.parts = kGranularityParts | kAfp8Part;
  out.kernel = kernel;
  out.examples = {name};
  out.table = table;
  out.nearest = nearest;
  out.choose_scales = choose_fp8_scales;
  return out;
}

}  // namespace

const NumberTraits& fp8_e4m3_number() {
  static const NumberTraits kRow =
      fp8("fp8_e4m3", WeightType::e4m3, byte_values<e4m3_to_f32>, nearest_e4m3);
  return kRow;
}

const NumberTraits& fp8_e5m2_number() {
  static const NumberTraits kRow =
      fp8("fp8_e5m2", WeightType::e5m2, byte_values<e5m2_to_f32>, nearest_e5m2);
  return kRow;
}

}  // namespace nibble
