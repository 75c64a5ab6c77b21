#include "nibble/nn/input_coding.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "nibble/core/error.h"
#include "nibble/quant/static_activations.h"

namespace nibble {

InputCoding::InputCoding(const QuantizedTensor& q) : type_(q.scheme.activations) {
  if (type_ == ActivationType::a8_outlier)
    threshold_ = q.activation ? q.activation->data<float>()[0] : kOutlierThreshold;
  if (type_ != ActivationType::a8_static) return;
  if (!q.activation)
    throw corrupt("a8static needs the scale of the inputs, which calibration finds");
  scale_ = q.activation->data<float>()[0];
}

void InputCoding::quantize(const Kernel& kernel, const float* x, int64_t m, int64_t k,
                           int8_t* codes, int64_t code_stride, float* row_scales, int32_t* counts,
                           float* scratch) const {
  if (type_ == ActivationType::a8)
    return kernel.quantize_rows(x, m, k, k, codes, code_stride, row_scales);
  for (int64_t r = 0; r < m; ++r, x += k, codes += code_stride) {
    if (!spares_outliers()) {
      std::fill(codes + k, codes + code_stride, int8_t{0});
      row_scales[r] = quantize_row({x, static_cast<size_t>(k)}, {codes, static_cast<size_t>(k)});
      continue;
    }
    int32_t count = 0;
    for (int64_t i = 0; i < k; ++i) {
      const bool beyond = std::fabs(x[i]) > threshold_;
      scratch[i] = beyond ? 0 : x[i];
      count += beyond ? 1 : 0;
    }
    counts[r] = count;
    kernel.quantize_rows(scratch, 1, k, k, codes, code_stride, row_scales + r);
  }
}

float InputCoding::quantize_row(std::span<const float> x, std::span<int8_t> codes) const {
  if (type_ == ActivationType::a8_full) return quantize_row_full(x, codes);
  return quantize_row_static(x, scale_, codes) ? scale_ : std::numeric_limits<float>::quiet_NaN();
}

}  // namespace nibble
