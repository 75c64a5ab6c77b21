#include "nibble/model/weight_floats.h"

#include "nibble/core/float_formats.h"

namespace nibble {

std::vector<float> floats_of(const Weight& weight) {
  const auto* quantized = std::get_if<QuantizedTensor>(&weight);
  const Tensor plain = quantized != nullptr ? dequantize(*quantized) : std::get<Tensor>(weight);
  std::vector<float> out(static_cast<size_t>(plain.elements()));
  to_f32(plain, out);
  return out;
}

}  // namespace nibble
