// f32, f16, bf16: weights as they are.
#include "nibble/quant/number.h"

namespace nibble {

const NumberTraits& f32_number() {
  static const NumberTraits kRow = {.name = "f32",
                                    .kind = NumberKind::floats,
                                    .bits = 32,
                                    .kernel = WeightType::f32,
                                    .examples = {"f32"}};
  return kRow;
}

const NumberTraits& f16_number() {
  static const NumberTraits kRow = {.name = "f16",
                                    .kind = NumberKind::floats,
                                    .bits = 16,
                                    .kernel = WeightType::f16,
                                    .examples = {"f16"}};
  return kRow;
}

const NumberTraits& bf16_number() {
  static const NumberTraits kRow = {.name = "bf16",
                                    .kind = NumberKind::floats,
                                    .bits = 16,
                                    .kernel = WeightType::bf16,
                                    .examples = {"bf16"}};
  return kRow;
}

}  // namespace nibble
