// InputCoding: how the rows that a group of projections reads become int8 codes.
//
//   a8         a scale for each row, absmax / 127
//   a8full     absmax / 127.5, codes from -128 on: as compressed-tensors rounds inputs
//   a8static   one scale for all rows, from calibration; what is beyond 127 scales is cut
//   a8outlier  as a8 over the values up to the threshold; those beyond have code 0 and are
//   multiplied
//              in f32 with dequantized weights (Dettmers et al. 2022, LLM.int8()). The paper takes
//              out whole columns of a batch; here each row decides for itself, so that its result
//              does not depend on what it is batched with.
#pragma once

#include <cstdint>
#include <span>

#include "nibble/kernels/kernel.h"
#include "nibble/quant/quantized_tensor.h"

namespace nibble {

class InputCoding {
 public:
  /// The coding of one weight. Error{corrupt} where a8static lacks its scale.
  explicit InputCoding(const QuantizedTensor& q);

  bool operator==(const InputCoding&) const = default;
  ActivationType type() const { return type_; }
  bool spares_outliers() const { return type_ == ActivationType::a8_outlier; }
  float threshold() const { return threshold_; }
  /// f32 values a thread needs for a row of k inputs.
  int64_t scratch_floats(int64_t k) const { return spares_outliers() ? k : 0; }

  /// As Kernel::quantize_rows, rows behind each other; kernel's own for a8. counts[r], where the
  /// coding spares outliers, is how many values of the row are left out.
  void quantize(const Kernel& kernel, const float* x, int64_t m, int64_t k, int8_t* codes,
                int64_t code_stride, float* row_scales, int32_t* counts, float* scratch) const;

 private:
  // Of a8full and a8static; gives the row's scale.
  float quantize_row(std::span<const float> x, std::span<int8_t> codes) const;

  ActivationType type_;
  float scale_ = 0, threshold_ = 0;
};

}  // namespace nibble
