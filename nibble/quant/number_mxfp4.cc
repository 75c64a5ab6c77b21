// mxfp4: E2M1 in blocks of 32 with a power of two each, E8M0 (OCP Microscaling Formats 1.0).
#include <algorithm>

#include "nibble/quant/e2m1.h"
#include "nibble/quant/number.h"

namespace nibble {
namespace {

void choose_e8m0_scales(const Tensor& magnitudes, const RtnOptions& /*options*/,
                        QuantizedTensor& out) {
  out.scales = Tensor(DType::u8, magnitudes.shape());
  const auto m = magnitudes.data<float>();
  std::transform(m.begin(), m.end(), out.scales.mutable_data<uint8_t>().begin(), e8m0_of_block);
}

const ScaleTraits kE8m0 = {"u8", [](DType) { return DType::u8; }, SuperScale::none,
                           byte_values<e8m0_to_f32>, ScaleType::e8m0};

}  // namespace

const NumberTraits& mxfp4_number() {
  static const NumberTraits kRow = {.name = "mxfp4",
                                    .kind = NumberKind::table,
                                    .bits = 4,
                                    .default_group = 32,
                                    .even_columns = true,
                                    .kernel = WeightType::table,
                                    .examples = {"mxfp4"},
                                    .scales = &kE8m0,
                                    .table = e2m1_values,
                                    .nearest = nearest_e2m1,
                                    .choose_scales = choose_e8m0_scales};
  return kRow;
}

}  // namespace nibble
