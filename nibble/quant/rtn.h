// Round to nearest: the baseline method, with nothing calibrated.
#pragma once

#include <string_view>

#include "nibble/quant/quantized_tensor.h"

namespace nibble {

struct RtnOptions {
  DType scale_dtype = DType::f16;  ///< scales are rounded to it before the codes are computed
  /// Use absmax / (2^(b-1) - 0.5) instead of absmax / (2^(b-1) - 1) for symmetric schemes.
  bool half_step_divisor = false;
  /// SuperScale::tensor: the largest magnitude among all weights that share this one's tensor scale
  /// (runtimes that join q, k, v or gate, up want one for all); 0 where it stands alone.
  float joint_magnitude = 0;
  int threads = 1;
};

/// Quantizes w (f32, f16 or bf16, [n, k]) as DESIGN section 8 defines: full code range, range
/// extended to 0 where asymmetric, q = round-half-even(x / s); types with a table as
/// rtn_table.h says. A group that does not divide k gives `int8:channel` instead: the result's
/// scheme says so. Errors: NaN or infinity (named by row and column), a scale that does not fit its
/// type, a scheme of plain floats; `name` is used in messages.
QuantizedTensor quantize_rtn(const Tensor& w, const QuantScheme& scheme, const RtnOptions& options,
                             std::string_view name);

}  // namespace nibble
