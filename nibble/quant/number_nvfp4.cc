// nvfp4: E2M1 in blocks of 16 with a scale in E4M3 each, over one f32 of the tensor: 448 * 6 / its
// largest magnitude.
#include <algorithm>
#include <limits>

#include "nibble/core/finite.h"
#include "nibble/core/float_formats.h"
#include "nibble/quant/e2m1.h"
#include "nibble/quant/number.h"

namespace nibble {
namespace {

constexpr float kE4m3Largest = 448, kE4m3Smallest = 0x1p-9f;

void choose_e4m3_scales(const Tensor& magnitudes, const RtnOptions& options, QuantizedTensor& out) {
  const auto m = magnitudes.data<float>();
  const float largest = std::max(largest_magnitude(m), options.joint_magnitude);
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

const ScaleTraits kE4m3Scales = {"f8_e4m3", [](DType) { return DType::f8_e4m3; },
                                 SuperScale::tensor, byte_values<e4m3_to_f32>, ScaleType::e4m3};

}  // namespace

const NumberTraits& nvfp4_number() {
  static const NumberTraits kRow = {.name = "nvfp4",
                                    .kind = NumberKind::table,
                                    .bits = 4,
                                    .default_group = 16,
                                    .even_columns = true,
                                    .kernel = WeightType::table,
                                    .examples = {"nvfp4"},
                                    .scales = &kE4m3Scales,
                                    .table = e2m1_values,
                                    .nearest = nearest_e2m1,
                                    .choose_scales = choose_e4m3_scales};
  return kRow;
}

}  // namespace nibble
