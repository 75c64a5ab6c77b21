// Round to nearest for the types with a codebook: the scales are chosen from the largest magnitude
// of each group, then every weight takes the code whose value is nearest to w / scale.
//
//   fp8             largest / the type's largest finite value, rounded to the stored type; the next
//                   one up where that would cut the largest weight
//   nf4, fp4        largest, in f32 or doubly quantized
//   mxfp4           e8m0_of_block(largest)
//   nvfp4           global = 448 * 6 / largest of the tensor; e4m3(global * largest / 6)
#pragma once

#include <string_view>

#include "nibble/quant/rtn.h"

namespace nibble {

/// `w` is f32 [n, k] without NaN or infinity; the scheme has a codebook and fits k. Error{corrupt}
/// where a scale, or the largest weight it stands for, does not fit its type.
QuantizedTensor quantize_rtn_codebook(const Tensor& w, const QuantScheme& scheme,
                                      const RtnOptions& options, std::string_view name);

}  // namespace nibble
